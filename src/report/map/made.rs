//! From a judged disk to its record.

use crate::{
    map::DiskMap,
    report::record::{
        EdgeUncertainty, FooterRecord, LatticeRecord, MAP_SCHEMA, MapRecord, MapRun, MapState,
        MapSummary, PatternKind, PatternRecord, RecordPath, Score,
    },
    triage::{
        judge::State,
        pattern::{Rule, RuleKind},
    },
};

/// The record of a map. Evidence that no run points to is left out.
#[must_use]
pub fn record(disk: RecordPath, map: &DiskMap, files: Vec<RecordPath>) -> MapRecord {
    let mut summary = MapSummary::default();
    for (state, word) in STATES {
        summary.add(word, map.bytes_in(state));
    }
    let mut numbers: Vec<Option<usize>> = vec![None; map.evidence.len()];
    for run in &map.runs {
        if let Some(number) = numbers.get_mut(run.run.evidence) {
            *number = Some(0);
        }
    }
    let mut evidence = Vec::new();
    for (number, one) in numbers.iter_mut().zip(&map.evidence) {
        if number.is_some() {
            *number = Some(evidence.len());
            evidence.push(one.clone());
        }
    }
    let runs = map
        .runs
        .iter()
        .map(|one| {
            let run = &one.run;
            let edge = EdgeUncertainty { start_bytes: run.start_doubt, end_bytes: run.end_doubt };
            // A run that holds small encrypted ones is not intact, whatever lies between them.
            let state = if run.lattice.is_some() { MapState::Encrypted } else { word(run.state) };
            MapRun {
                offset_bytes: run.start,
                length_bytes: run.length(),
                state,
                evidence: numbers.get(run.evidence).copied().flatten().into_iter().collect(),
                file: one.place.map(|(file, _)| file),
                file_offset_bytes: one.place.map(|(_, at)| at),
                edge: (edge != EdgeUncertainty::default()).then_some(edge),
                lattice: run.lattice.map(|lattice| LatticeRecord {
                    origin_bytes: lattice.origin,
                    run_bytes: lattice.run,
                    period_bytes: lattice.period,
                    between: word(run.state),
                }),
            }
        })
        .collect();
    MapRecord {
        schema: MAP_SCHEMA.to_owned(),
        disk,
        size_bytes: map.size_bytes,
        original_size_bytes: map.original_bytes,
        footer: footer(map),
        summary,
        pattern: pattern(map, &summary),
        files,
        hashes: Vec::new(),
        runs,
        evidence,
        findings: map.findings.clone(),
        run: None,
    }
}

const STATES: [(State, MapState); 7] = [
    (State::Zero, MapState::Zero),
    (State::Absent, MapState::Absent),
    (State::Intact, MapState::Intact),
    (State::Encrypted, MapState::Encrypted),
    (State::Unreadable, MapState::Unreadable),
    (State::Damaged, MapState::Damaged),
    (State::Undetermined, MapState::Undetermined),
];

fn word(state: State) -> MapState {
    STATES.iter().find(|(s, _)| *s == state).map_or(MapState::Undetermined, |(_, word)| *word)
}

fn footer(map: &DiskMap) -> Option<FooterRecord> {
    let reading = map
        .files
        .iter()
        .filter_map(|file| file.mapped.footer.as_ref())
        .find(|reading| !reading.layers.is_empty())?;
    let family = reading
        .layers
        .iter()
        .filter(|layer| layer.proof > crate::triage::footer::FooterProof::Length)
        .find_map(|layer| match layer.families.as_slice() {
            [only] => Some(only.family.clone()),
            _ => None,
        });
    Some(FooterRecord {
        family,
        length_bytes: reading.appended_bytes(),
        layers: u32::try_from(reading.layers.len()).unwrap_or(u32::MAX),
    })
}

/// The rule of the file with most damage.
fn pattern(map: &DiskMap, summary: &MapSummary) -> Option<PatternRecord> {
    let hurt = map
        .files
        .iter()
        .map(|file| (file.mapped.map.bytes_in(State::Encrypted), file))
        .max_by_key(|(bytes, _)| *bytes);
    let rule = hurt.and_then(|(_, file)| file.mapped.map.rule);
    if let Some(rule) = rule {
        return Some(of_rule(&rule, map.original_bytes));
    }
    let kind = if summary.encrypted_bytes > map.size_bytes - map.original_bytes {
        PatternKind::Irregular
    } else {
        PatternKind::None
    };
    Some(PatternRecord {
        kind,
        head_bytes: 0,
        run_bytes: 0,
        period_bytes: 0,
        phase_bytes: 0,
        stop_bytes: 0,
        score: Score::new(0.0),
        sentence: None,
    })
}

fn of_rule(rule: &Rule, size: u64) -> PatternRecord {
    let kind = match rule.kind {
        RuleKind::Whole => PatternKind::Whole,
        RuleKind::Head => PatternKind::Head,
        RuleKind::Periodic => PatternKind::Periodic,
        RuleKind::Chunks => PatternKind::Chunks,
        RuleKind::Lattice => PatternKind::Lattice,
    };
    let has_comb = rule.run > 0;
    PatternRecord {
        kind,
        head_bytes: rule.head_end.saturating_sub(rule.head_start),
        run_bytes: rule.run,
        period_bytes: if has_comb { rule.period } else { 0 },
        phase_bytes: if has_comb { rule.start } else { rule.head_start },
        stop_bytes: if has_comb { rule.stop.min(size) } else { rule.head_end },
        score: Score::new(rule.score),
        sentence: Some(rule.to_string()),
    }
}
