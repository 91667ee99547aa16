//! Disks, attacks on them, and the comparison of a map with what was really done.

use std::{collections::BTreeMap, fmt, num::NonZeroUsize, ops::Range};

use vmglean::{
    families::Families,
    map::{MapOptions, Mapped, map_source},
    triage::{
        footer::FooterQuestion,
        judge::{DamageMap, JudgeOptions, Run, State},
        pass::{Cancel, PassOptions},
        pattern::Rule,
    },
};
use vmglean_forge::{
    damage::{Case, Damage, Geometry, Truth},
    guest::{self, Guest},
};

const BLOCK: u64 = 4096;

/// The guests that are attacked.
pub(crate) struct Bench {
    guests: Vec<Guest>,
    families: Families,
}

/// One attacked disk, its map, and how they compare.
pub(crate) struct Compared {
    name: String,
    missed: u64,
    accused: u64,
    undetermined: u64,
    /// The same by reason.
    open: BTreeMap<String, u64>,
    intact_bytes: u64,
    size: u64,
    runs: usize,
    is_rule_right: bool,
    rule: Option<Rule>,
    geometry: Geometry,
    bad_edges: usize,
    first_missed: Option<(u64, Run)>,
}

impl Bench {
    /// Builds the guests.
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let files = guest::files(1, scratch.path()).unwrap();
        let size = 48 << 20;
        let ext4 = guest::ext4(size, &files, scratch.path()).unwrap();
        let ntfs = guest::ntfs(size, &files, scratch.path()).unwrap();
        let luks = guest::with_luks(&ext4, 5);
        Self { guests: vec![ext4, ntfs, luks], families: Families::built_in().unwrap() }
    }

    /// Bytes of a disk.
    pub(crate) fn size(&self) -> u64 {
        self.guests[0].bytes.len() as u64
    }

    /// Attacks a guest and maps it, then again without unpacking anything. One attack in eight meets
    /// the disk with the LUKS volume.
    pub(crate) fn run(&self, number: usize, case: &Case) -> [Compared; 2] {
        let guest = &self.guests[if number % 8 == 7 { 2 } else { number % 2 }];
        let mut data = guest.bytes.clone();
        let damage = Damage {
            geometry: case.geometry.clone(),
            cipher: case.cipher,
            seed: number as u64,
            trailer: case.trailer.clone(),
        };
        let truth = damage.apply(&mut data);
        let [whole, quick] = [false, true].map(|no_unpack| self.map(&data, no_unpack));
        let more = intact_of(&quick.map, &whole.map);
        assert_eq!(more, None, "{} on {}: intact without unpacking alone", case.name, guest.name);
        [("", &whole), (", nothing unpacked", &quick)].map(|(how, mapped)| {
            compare(format!("{} on {}{how}", case.name, guest.name), guest, &truth, case, mapped)
        })
    }

    fn map(&self, data: &Vec<u8>, no_unpack: bool) -> Mapped {
        let options = MapOptions {
            pass: PassOptions { jobs: NonZeroUsize::new(2).unwrap(), ..PassOptions::default() },
            judge: JudgeOptions { no_unpack, ..JudgeOptions::default() },
            is_disk: true,
            footer: FooterQuestion { whole_sectors: true, ..FooterQuestion::default() },
            ..MapOptions::default()
        };
        map_source(data, &options, &self.families, None, &Cancel::default(), &mut |_| {}).unwrap()
    }
}

/// The first bytes that `one` calls intact and `other` neither so nor empty.
fn intact_of(one: &DamageMap, other: &DamageMap) -> Option<Range<u64>> {
    let good = |run: &&Run| matches!(run.state, State::Intact | State::Zero | State::Absent);
    let (one, other) = (flat(one), flat(other));
    let mut rest = other.iter().filter(good).peekable();
    for run in one.iter().filter(|run| run.state == State::Intact) {
        let mut at = run.start;
        while at < run.end {
            while rest.next_if(|known| known.end <= at).is_some() {}
            match rest.peek() {
                Some(known) if known.start <= at => at = known.end,
                next => return Some(at..next.map_or(run.end, |next| next.start.min(run.end))),
            }
        }
    }
    None
}

/// The state of every byte range with its doubts, small runs taken apart.
fn flat(map: &DamageMap) -> Vec<Run> {
    let mut all = Vec::new();
    for run in &map.runs {
        let Some(lattice) = run.lattice else {
            all.push(run.clone());
            continue;
        };
        let mut at = run.start;
        while at < run.end {
            let into = (at + lattice.period - lattice.origin % lattice.period) % lattice.period;
            let (state, end) = if into < lattice.run {
                (State::Encrypted, at + lattice.run - into)
            } else {
                (run.state, at + lattice.period - into)
            };
            let end = end.min(run.end);
            all.push(Run { start: at, end, state, lattice: None, ..run.clone() });
            at = end;
        }
    }
    all
}

fn compare(name: String, guest: &Guest, truth: &Truth, case: &Case, mapped: &Mapped) -> Compared {
    let map = &mapped.map;
    // A disk that is random from its first sector or two to its last, without a footer or a
    // name: nobody can tell it from one that its owner encrypted.
    let excused = matches!(case.geometry, Geometry::Whole { .. }) && case.trailer.is_none();
    let mut at = 0;
    for run in &map.runs {
        assert_eq!(run.start, at, "{name}: gap or overlap");
        assert!(run.end > run.start, "{name}: empty run");
        at = run.end;
    }
    assert_eq!(at, truth.size_bytes, "{name}: not covered to the end");
    let mut made = Compared {
        name,
        missed: 0,
        accused: 0,
        undetermined: 0,
        open: BTreeMap::new(),
        intact_bytes: truth.original_bytes - truth.encrypted_bytes(),
        size: truth.original_bytes,
        runs: truth.encrypted.len(),
        is_rule_right: is_rule_right(&case.geometry, truth, map.rule.as_ref()),
        rule: map.rule,
        geometry: case.geometry.clone(),
        bad_edges: 0,
        first_missed: None,
    };
    let mut wrong: Vec<Range<u64>> = Vec::new();
    let mut next = 0;
    for run in flat(map) {
        let end = run.end.min(truth.original_bytes);
        if run.start >= end {
            continue;
        }
        let sure = run.start + run.start_doubt..end.saturating_sub(run.end_doubt).max(run.start);
        while truth.encrypted.get(next).is_some_and(|t| t.end <= run.start) {
            next += 1;
        }
        let hit = truth.encrypted[next..].iter().take_while(|t| t.start < end);
        let inside = hit.clone().map(|t| overlap(t, &sure)).sum::<u64>();
        match run.state {
            State::Intact | State::Zero | State::Absent if inside > 0 => {
                made.missed += inside;
                let place =
                    hit.clone().find(|t| overlap(t, &sure) > 0).unwrap().start.max(sure.start);
                made.first_missed.get_or_insert((place, run.clone()));
                wrong.push(place..place + inside);
            }
            State::Encrypted => {
                let outside = sure.end.saturating_sub(sure.start) - inside;
                made.accused += outside;
                if outside > 0 {
                    wrong.push(sure.clone());
                }
            }
            State::Undetermined if !excused => {
                let blocks = run.start / BLOCK..end.div_ceil(BLOCK);
                let bytes = blocks
                    .filter(|&b| !guest.excused[b as usize])
                    .map(|b| overlap(&(b * BLOCK..b * BLOCK + BLOCK), &(run.start..end)))
                    .sum::<u64>();
                made.undetermined += bytes;
                let detail = &map.evidence[run.evidence].detail;
                let why: String = detail.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
                *made.open.entry(why).or_default() += bytes;
            }
            _ => {}
        }
    }
    // Both lists are in order.
    let mut from = 0;
    for edge in truth.encrypted.iter().flat_map(|t| [t.start, t.end]) {
        while wrong.get(from).is_some_and(|w| w.end + BLOCK <= edge) {
            from += 1;
        }
        made.bad_edges += usize::from(wrong.get(from).is_some_and(|w| w.start < edge + BLOCK));
    }
    made
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> u64 {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

/// Whether the rule has the run, the period, the phase and the head of the geometry.
fn is_rule_right(geometry: &Geometry, truth: &Truth, rule: Option<&Rule>) -> bool {
    let size = truth.original_bytes;
    let comb = |start: u64, run: u64, period: u64, head: u64, rule: &Rule| {
        let same =
            rule.run == run && rule.period == period && rule.start % period == start % period;
        let head = rule
            .ranges(0..size.min(head + 1), size)
            .next()
            .is_none_or(|r| head == 0 || r.start == 0 && r.end >= head.min(size));
        same && head
    };
    let Some(rule) = rule else { return truth.encrypted.is_empty() };
    match geometry {
        Geometry::Periodic { start, run, period, .. } => comb(*start, *run, *period, 0, rule),
        Geometry::HeadThenPeriodic { head, start, run, period, .. } => {
            comb(*start, *run, *period, *head, rule)
        }
        Geometry::Chunks { run, step, .. } => comb(0, *run, *step, 0, rule),
        Geometry::PercentOfBlocks { blocks, percent } => {
            let block = size / blocks;
            comb(0, block * percent / 100, block, 0, rule)
        }
        Geometry::PlayBlocks { block, step } => comb(0, *block, block * step, 0, rule),
        Geometry::Interrupted { inner, .. } => is_rule_right(inner, truth, Some(rule)),
        Geometry::Layers(layers) => layers
            .iter()
            .filter(|l| !matches!(l, Geometry::Head { .. } | Geometry::Whole { .. }))
            .all(|l| is_rule_right(l, truth, Some(rule))),
        Geometry::None
        | Geometry::Whole { .. }
        | Geometry::Head { .. }
        | Geometry::Irregular(_) => true,
    }
}

/// Sums over all disks.
#[derive(Default)]
pub(crate) struct Score {
    disks: u64,
    bytes: u64,
    intact_bytes: u64,
    missed: u64,
    accused: u64,
    undetermined: u64,
    open: BTreeMap<String, u64>,
    with_runs: u64,
    rules_right: u64,
    bad_edges: usize,
}

impl Score {
    /// Adds one disk; tells what is wrong with it.
    pub(crate) fn add(&mut self, number: usize, case: &Case, one: &Compared) {
        self.disks += 1;
        self.bytes += one.size;
        self.intact_bytes += one.intact_bytes;
        self.missed += one.missed;
        self.accused += one.accused;
        self.undetermined += one.undetermined;
        for (why, bytes) in &one.open {
            *self.open.entry(why.clone()).or_default() += bytes;
        }
        self.bad_edges += one.bad_edges;
        let counts = one.runs >= 3 && !matches!(case.geometry, Geometry::Irregular(_));
        self.with_runs += u64::from(counts);
        self.rules_right += u64::from(counts && one.is_rule_right);
        let rule_wrong = counts && !one.is_rule_right;
        let wide = one.undetermined * 1000 > one.size * 15;
        if one.missed + one.accused > 0 || rule_wrong || wide || one.bad_edges > 0 {
            println!(
                "{number} {}: missed {} accused {} undetermined {:.2} % edges {} of {} runs{}",
                one.name,
                one.missed,
                one.accused,
                one.undetermined as f64 * 100.0 / one.size as f64,
                one.bad_edges,
                one.runs,
                if rule_wrong { " RULE" } else { "" }
            );
            for (why, bytes) in one.open.iter().filter(|(_, bytes)| **bytes > 16_384) {
                println!("    {bytes:>9} open: {why}");
            }
            println!("    truth {:?}", one.geometry);
            println!("    found {:?}", one.rule);
            if let Some((at, run)) = &one.first_missed {
                println!("    first missed {at:#x} in {run:?}");
            }
        }
    }

    /// What holds whether archives are unpacked or not.
    pub(crate) fn assert_nothing_wrong(&self) {
        assert_eq!(self.missed, 0, "encrypted bytes called intact, zero or absent");
        assert!(self.accused * 10_000 <= self.intact_bytes, "too much intact called encrypted");
    }

    /// The goals.
    pub(crate) fn assert(&self) {
        self.assert_nothing_wrong();
        assert!(self.undetermined * 1000 <= self.bytes * 15, "too much undetermined");
        assert!(self.rules_right * 100 >= self.with_runs * 98, "too many rules wrong");
        assert_eq!(self.bad_edges, 0, "edges outside their stated uncertainty");
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: u64, of: u64| part as f64 * 100.0 / of.max(1) as f64;
        write!(
            f,
            "{} disks, {} MiB: missed {} bytes, accused {:.5} %, undetermined {:.3} %, rules {} of {}, edges wrong {}",
            self.disks,
            self.bytes >> 20,
            self.missed,
            percent(self.accused, self.intact_bytes),
            percent(self.undetermined, self.bytes),
            self.rules_right,
            self.with_runs,
            self.bad_edges
        )?;
        for (why, bytes) in &self.open {
            write!(f, "\n    {:.3} % open: {why}", percent(*bytes, self.bytes))?;
        }
        Ok(())
    }
}
