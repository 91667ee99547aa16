//! What the page shows, worked out before the template sees it.

use minijinja::Value;
use serde::Serialize;

use super::{Pictures, bar};
use crate::{
    finding::{Evidence, Finding, Weight},
    report::{
        judge::{self, ORDER},
        plain::plain_path,
        record::{
            Confidence, DiskRecord, MachineRecord, Method, NoteRecord, OrphanRecord, Route,
            RunInfo, SweepRecord, UnreadableRecord,
        },
        units::{bytes, count, counted},
        word,
    },
};

#[derive(Serialize)]
pub(super) struct Page {
    title: String,
    sources: Vec<String>,
    sums: Vec<(String, String)>,
    classes: Vec<Class>,
    routes: Vec<Class>,
    machines: Vec<Machine>,
    machine_count: String,
    families: Vec<Family>,
    notes: Vec<Note>,
    orphans: Vec<Orphan>,
    findings: Vec<FindingRow>,
    unreadable: Vec<Unreadable>,
    run: Option<Run>,
}

#[derive(Serialize)]
struct Class {
    word: &'static str,
    means: &'static str,
    machines: String,
    disks: String,
    counted_disks: String,
    capacity: String,
    none: bool,
    /// Share of all capacity, for the bar at the top.
    percent: String,
}

#[derive(Serialize)]
struct Machine {
    n: usize,
    name: String,
    folder: String,
    verdict: &'static str,
    rank: usize,
    route: &'static str,
    way: &'static str,
    reason: String,
    command: String,
    config: String,
    capacity: String,
    capacity_bytes: u64,
    /// For sorting: upper bound in parts per million; 1 less than nothing where not measured.
    worst: i64,
    disks: Vec<Disk>,
    findings: Vec<FindingRow>,
}

#[derive(Serialize)]
struct Disk {
    name: String,
    path: String,
    verdict: &'static str,
    share: String,
    bar: Value,
    strip: Option<Value>,
    picture: Option<Value>,
    facts: Vec<(&'static str, String)>,
    reason: String,
    chain: Vec<String>,
    evidence: Vec<EvidenceRow>,
}

#[derive(Serialize)]
struct EvidenceRow {
    kind: String,
    offset: String,
    length: String,
    detail: String,
}

#[derive(Serialize)]
struct FindingRow {
    grave: bool,
    code: String,
    path: String,
    offset: Option<String>,
    what: String,
    next: Option<String>,
}

#[derive(Serialize)]
struct Family {
    name: String,
    confidence: String,
    basis: String,
    files: String,
    rests_on: Vec<String>,
    sure: bool,
}

#[derive(Serialize)]
struct Note {
    path: String,
    families: String,
    victim_id: Option<String>,
    extension: Option<String>,
    rests_on: Vec<String>,
    quote: Vec<String>,
}

#[derive(Serialize)]
struct Orphan {
    path: String,
    kind: String,
    size: String,
    candidates: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Unreadable {
    path: String,
    place: String,
    error: String,
    next: String,
}

#[derive(Serialize)]
struct Run {
    version: String,
    arguments: String,
    started: String,
    finished: String,
    read: String,
    hashes: Vec<(String, String)>,
}

impl Page {
    pub(super) fn new(record: &SweepRecord, pictures: &Pictures) -> Self {
        let totals = &record.totals;
        let whole = totals.all.capacity_bytes.max(1) as f64;
        let class = |word, means, of: Option<&crate::report::record::ClassTotal>| {
            let of = of.copied().unwrap_or_default();
            Class {
                word,
                means,
                machines: count(of.machines),
                disks: count(of.disks),
                counted_disks: counted(of.disks, "disk"),
                capacity: bytes(of.capacity_bytes),
                none: of.machines == 0,
                percent: format!("{:.3}", of.capacity_bytes as f64 / whole * 100.0),
            }
        };
        let sources: Vec<String> = record.sources.iter().map(|s| plain_path(&s.path)).collect();
        Self {
            title: format!("vmglean sweep of {}", sources.join(", ")),
            sums: vec![
                (count(totals.all.machines), "machines".into()),
                (count(totals.all.disks), "disks".into()),
                (bytes(totals.all.capacity_bytes), "capacity".into()),
                (bytes(totals.all.allocated_bytes), "stored".into()),
                (count(totals.files), "files looked at".into()),
            ],
            sources,
            classes: ORDER
                .iter()
                .map(|v| class(v.word(), judge::meaning(*v), totals.by_verdict.get(v)))
                .collect(),
            routes: Route::ALL
                .iter()
                .map(|r| class(r.word(), judge::way(*r), totals.by_route.get(r)))
                .filter(|c| !c.none)
                .collect(),
            machines: machines(record, pictures),
            machine_count: count(record.machines.len() as u64),
            families: record
                .families
                .iter()
                .map(|f| Family {
                    name: f.name.clone(),
                    confidence: word(&f.confidence),
                    basis: word(&f.basis),
                    files: counted(f.files, "file"),
                    rests_on: f.rests_on.clone(),
                    sure: f.confidence == Confidence::High,
                })
                .collect(),
            notes: record.notes.iter().map(note).collect(),
            orphans: record.orphans.iter().map(orphan).collect(),
            findings: record.findings.iter().map(finding).collect(),
            unreadable: record.unreadable.iter().map(unreadable).collect(),
            run: record.run.as_ref().map(run),
        }
    }
}

fn machines(record: &SweepRecord, pictures: &Pictures) -> Vec<Machine> {
    let mut machines = Vec::with_capacity(record.machines.len());
    for (rank, verdict) in ORDER.iter().enumerate() {
        for machine in judge::worst_first(&record.machines, *verdict) {
            let n = machines.len();
            machines.push(row(n, rank, machine, pictures));
        }
    }
    machines
}

fn row(n: usize, rank: usize, machine: &MachineRecord, pictures: &Pictures) -> Machine {
    let (capacity_bytes, unknown) = judge::capacity(machine);
    let capacity = match (capacity_bytes, unknown) {
        (0, true) => "not known".to_owned(),
        (known, true) => format!("over {}", bytes(known)),
        (known, false) => bytes(known),
    };
    let worst = judge::worst_disk(machine).and_then(|d| d.encrypted_fraction_high);
    let config = match &machine.config.source {
        Some(path) => format!("{}, from {}", word(&machine.config.state), plain_path(path)),
        None => word(&machine.config.state),
    };
    Machine {
        n,
        name: machine.name.clone(),
        folder: plain_path(&machine.folder),
        verdict: machine.verdict.word(),
        rank,
        route: machine.route.word(),
        way: judge::way(machine.route),
        reason: machine.reason.clone(),
        command: machine.next_command.clone(),
        config,
        capacity,
        capacity_bytes,
        worst: worst.map_or(-1, |f| i64::from(f.parts_per_million())),
        disks: machine
            .disks
            .iter()
            .enumerate()
            .map(|(i, d)| disk(d, pictures.get(&(machine.id.clone(), i))))
            .collect(),
        findings: machine.findings.iter().map(finding).collect(),
    }
}

fn disk(disk: &DiskRecord, picture: Option<&String>) -> Disk {
    let mut facts =
        vec![("capacity", disk.capacity_bytes.map_or_else(|| "not known".to_owned(), bytes))];
    if let Some(allocated) = disk.allocated_bytes {
        facts.push(("stored", bytes(allocated)));
    }
    if let Some(zero) = disk.zero_fraction {
        facts.push(("zero or empty", zero.to_string()));
    }
    facts.push(match disk.method {
        Method::Sampled => ("judged by", counted(disk.samples, "sample")),
        Method::Full => ("judged by", "every byte".to_owned()),
        Method::None => ("judged by", "names, sizes and headers".to_owned()),
    });
    if let Some(family) = &disk.family {
        facts.push(("family", family.clone()));
    }
    let path = plain_path(&disk.leaf);
    Disk {
        name: plain_path(&disk.leaf.file_name_path()),
        path: path.clone(),
        verdict: disk.verdict.word(),
        share: judge::share(disk),
        bar: Value::from_safe_string(bar::share(disk)),
        strip: bar::strip(disk).map(Value::from_safe_string),
        picture: picture
            .and_then(|p| inline(p))
            .or_else(|| bar::picture(disk))
            .map(Value::from_safe_string),
        facts,
        reason: disk.reason.clone(),
        chain: disk.chain.iter().map(plain_path).filter(|p| *p != path).collect(),
        evidence: disk.evidence.iter().map(evidence).collect(),
    }
}

/// An SVG as part of a page, or nothing where it is no plain drawing.
fn inline(svg: &str) -> Option<String> {
    let svg = svg.get(svg.find("<svg")?..)?.replace(r#" xmlns="http://www.w3.org/2000/svg""#, "");
    let lower = svg.to_ascii_lowercase();
    let loads =
        ["<script", "href", "http:", "https:", "url(", "<image", "<foreignobject", "<style"];
    (!loads.iter().any(|l| lower.contains(l))).then_some(svg)
}

fn evidence(evidence: &Evidence) -> EvidenceRow {
    EvidenceRow {
        kind: word(&evidence.kind),
        offset: format!("{:#x}", evidence.offset_bytes),
        length: bytes(evidence.length_bytes),
        detail: evidence.detail.clone(),
    }
}

fn finding(finding: &Finding) -> FindingRow {
    FindingRow {
        grave: finding.weight > Weight::Note,
        code: finding.code.clone(),
        path: finding.path.clone(),
        offset: finding.offset_bytes.map(|o| format!("{o:#x}")),
        what: finding.what.clone(),
        next: finding.next.clone(),
    }
}

fn note(note: &NoteRecord) -> Note {
    Note {
        path: plain_path(&note.path),
        families: note.families.join(", "),
        victim_id: note.victim_id.clone(),
        extension: note.extension.clone(),
        rests_on: note.rests_on.clone(),
        quote: note.quote.lines().map(str::to_owned).collect(),
    }
}

fn orphan(orphan: &OrphanRecord) -> Orphan {
    Orphan {
        path: plain_path(&orphan.path),
        kind: orphan.kind.clone(),
        size: bytes(orphan.size_bytes),
        candidates: orphan.candidates.iter().map(|c| (c.machine.clone(), c.why.clone())).collect(),
    }
}

fn unreadable(unreadable: &UnreadableRecord) -> Unreadable {
    let place = match (unreadable.offset_bytes, unreadable.length_bytes) {
        (Some(at), Some(length)) => format!("{at:#x}, {}", bytes(length)),
        (Some(at), None) => format!("{at:#x}"),
        (None, _) => "all of it".to_owned(),
    };
    Unreadable {
        path: plain_path(&unreadable.path),
        place,
        error: unreadable.error.clone(),
        next: unreadable.next.clone(),
    }
}

fn run(run: &RunInfo) -> Run {
    let quoted = run.arguments.iter().map(|a| crate::report::shell::quote(a.0.as_os_str()));
    Run {
        version: run.version.clone(),
        arguments: quoted.collect::<Vec<_>>().join(" "),
        started: run.started.clone(),
        finished: run.finished.clone(),
        read: bytes(run.read_bytes),
        hashes: run.input_sha256.iter().map(|(p, h)| (plain_path(p), h.clone())).collect(),
    }
}
