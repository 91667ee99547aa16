//! What is known of the content of a chain's files: by damage maps that were given or made, else
//! by samples alone.

use std::collections::{HashMap, HashSet};

use super::{Opened, Sampled};
use crate::{
    consolidate::{Damage, JudgedBy, JudgedLine},
    disk::FileId,
    families::Families,
    finding::{Finding, Weight},
    map::map_file,
    report::{chain::LinkState, units::bytes},
    source::RelPath,
    triage::{
        judge::{DamageMap, State},
        pass::{Cancel, PassError},
    },
    ui::Progress,
};

/// A damage map that was recorded before.
#[derive(Clone, Debug)]
pub struct GivenMap {
    /// The file that it is of; `None` for one of the whole disk.
    pub file: Option<RelPath>,
    /// The record, as named.
    pub name: String,
    /// SHA-256 of the record, in hex.
    pub sha256: String,
    /// What it says.
    pub map: DamageMap,
}

/// What is known, with what a person must be told.
pub struct Known {
    /// What is known.
    pub damage: Damage,
    /// What speaks against files.
    pub findings: Vec<Finding>,
}

/// What is known of the chain from link `at` on: what it tells of itself, the maps that were
/// given, and a damage map of every file that samples speak against, made as `map` makes it. Reads
/// each of those whole. `None` where it was stopped.
///
/// # Errors
/// [`PassError`]. A source that fails becomes unreadable runs.
pub fn damage(
    opened: &Opened,
    at: usize,
    given: Vec<GivenMap>,
    sampled: &[Sampled],
    families: &Families,
    threads: usize,
    (cancel, progress): (&Cancel, &Progress),
) -> Result<Option<Known>, PassError> {
    let mut known = Known { damage: Damage::of(&opened.chain, at), findings: Vec::new() };
    let disk = opened.chain.disk();
    let ids: HashMap<&str, FileId> =
        (0..).zip(disk.files()).map(|(id, file)| (file.name.as_str(), FileId(id))).collect();
    let mut of_disk = false;
    let mut by_file: HashMap<RelPath, GivenMap> = HashMap::new();
    for map in given {
        known.damage.give(map.name.clone(), map.sha256.clone());
        match map.file.clone() {
            Some(file) => {
                by_file.insert(file, map);
            }
            None => {
                of_disk = true;
                known.findings.extend(against(&map.name, &map.map, &map_words(&map.map)));
                known.damage.judge(line_of(None, &map));
                known.damage.add_disk(map.map);
            }
        }
    }
    let samples: HashMap<&RelPath, &Sampled> = sampled.iter().map(|one| (&one.path, one)).collect();
    let mut seen = HashSet::new();
    let extents = opened.chain.links.iter().skip(at).flat_map(|link| &link.extents);
    for path in extents.filter_map(|extent| extent.path.as_ref()) {
        if of_disk || !seen.insert(path) {
            continue;
        }
        let name = path.as_path().display().to_string();
        let Some(id) = ids.get(name.as_str()).copied() else { continue };
        let sampled = samples.get(path).copied();
        if let Some(given) = by_file.remove(path) {
            known.findings.extend(against(&name, &given.map, &map_words(&given.map)));
            known.damage.judge(line_of(Some(name), &given));
            known.damage.add(id, given.map);
            continue;
        }
        let unseen = "its content was not looked at".to_owned();
        let mut line = JudgedLine::new(Some(name.clone()), JudgedBy::Nothing, unseen);
        let Some(sampled) = sampled else {
            known.damage.judge(line);
            continue;
        };
        line.by = if sampled.samples.is_some() { JudgedBy::Samples } else { JudgedBy::EveryByte };
        line.verdict.clone_from(&sampled.reason);
        line.samples.clone_from(&sampled.samples);
        if sampled.state == LinkState::Missing {
            line.by = JudgedBy::Nothing;
        }
        if !sampled.is_suspect {
            known.findings.extend(by_samples(sampled));
            known.damage.judge(line);
            continue;
        }
        progress.set_what(&name);
        let mapped = map(opened, sampled, id, families, threads, (cancel, progress))?;
        let Some(map) = mapped else {
            if cancel.asked().is_some() {
                return Ok(None);
            }
            known.findings.extend(by_samples(sampled));
            known.damage.judge(line);
            continue;
        };
        line.by = JudgedBy::Map;
        line.samples = None;
        line.verdict = map_words(&map);
        let what = format!("{}; {}", line.verdict, sampled.reason);
        let found = against(&name, &map, &what);
        // What samples speak for and the map does not place is open all the same.
        known.findings.extend(found.or_else(|| by_samples(sampled)));
        known.damage.judge(line);
        known.damage.add(id, map);
    }
    Ok(Some(known))
}

fn line_of(file: Option<String>, given: &GivenMap) -> JudgedLine {
    JudgedLine {
        map: Some(given.name.clone()),
        map_sha256: Some(given.sha256.clone()),
        ..JudgedLine::new(file, JudgedBy::GivenMap, map_words(&given.map))
    }
}

/// The damage map of one file, as `map` makes it; `None` where it cannot be opened or was stopped.
fn map(
    opened: &Opened,
    sampled: &Sampled,
    id: FileId,
    families: &Families,
    threads: usize,
    (cancel, progress): (&Cancel, &Progress),
) -> Result<Option<DamageMap>, PassError> {
    // The source of the chain ends where the disk ends; the footer stands behind that.
    let Ok(whole) = opened.root.open_file(&sampled.path) else { return Ok(None) };
    let is_hit = matches!(sampled.state, LinkState::Encrypted | LinkState::PartlyEncrypted);
    let attacked = is_hit.then(|| sampled.reason.clone());
    let of = (opened.chain.disk(), id);
    map_file(&whole, of, families, threads, attacked, cancel, &mut |bytes| progress.add(bytes))
}

/// What a map says, in a sentence.
fn map_words(map: &DamageMap) -> String {
    let in_disk: Vec<_> = map.runs.iter().filter(|run| run.start < map.original_bytes).collect();
    let sum = |state| in_disk.iter().map(|run| run.bytes_in(state)).sum::<u64>();
    let said = [
        (State::Encrypted, "encrypted"),
        (State::Damaged, "damaged"),
        (State::Unreadable, "unreadable"),
        (State::Undetermined, "undetermined"),
    ];
    let mut parts: Vec<String> = said
        .iter()
        .map(|(state, word)| (sum(*state), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", bytes(count)))
        .collect();
    if let Some(rule) = map.rule.filter(|_| sum(State::Encrypted) > 0) {
        parts.push(format!("the rule: {rule}"));
    }
    if parts.is_empty() {
        return "its damage map shows no damage".to_owned();
    }
    format!("by its damage map, {}", parts.join(", "))
}

/// What a map says against a file or disk.
fn against(path: &str, map: &DamageMap, what: &str) -> Option<Finding> {
    let hurt = |state| map.runs.iter().any(|run| run.bytes_in(state) > 0);
    let (code, next) = if hurt(State::Encrypted) {
        ("consolidate.content-encrypted", "the manifest names the ranges that were filled")
    } else if hurt(State::Damaged) || hurt(State::Unreadable) {
        ("consolidate.content-damaged", "the manifest names the ranges that were filled")
    } else if hurt(State::Undetermined) {
        (
            "consolidate.content-undetermined",
            "the manifest names the ranges that may not be the original, and why",
        )
    } else {
        return None;
    };
    Some(finding(code, path, what.to_owned(), next))
}

/// What samples say against a file: some of what is copied is not the original.
fn by_samples(sampled: &Sampled) -> Option<Finding> {
    let code = match sampled.state {
        LinkState::Encrypted | LinkState::PartlyEncrypted => "consolidate.content-encrypted",
        // Tables that are torn are told range by range; what counts here is the content.
        LinkState::Damaged if sampled.looks_random => "consolidate.content-damaged",
        LinkState::Undetermined if sampled.looks_random => "consolidate.content-undetermined",
        LinkState::Damaged
        | LinkState::Undetermined
        | LinkState::Untouched
        | LinkState::Unjudged
        | LinkState::Missing => return None,
    };
    let next = "no range of it was placed: what was copied may not be the original";
    Some(finding(code, &sampled.path.as_path().display().to_string(), sampled.reason.clone(), next))
}

fn finding(code: &str, path: &str, what: String, next: &str) -> Finding {
    Finding {
        code: code.to_owned(),
        weight: Weight::Damage,
        path: path.to_owned(),
        offset_bytes: None,
        what,
        next: Some(next.to_owned()),
    }
}
