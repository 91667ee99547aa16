//! Some machines of a datastore judged with everything at hand that salvage needs.

use std::{collections::HashMap, path::PathBuf, sync::atomic::AtomicBool};

use super::{
    Job, SweepError, SweepOptions, gather,
    judge::{self, Judgements},
    record::{id_of, machine_record},
    verdict::judge_disk,
};
use crate::{
    catalog::{FileId, Index, Machine, assemble},
    families::Families,
    report::record::{DiskVerdict, MachineVerdict},
    salvage::condition::{DiskCondition, MachineCondition},
    source::EvidenceRoot,
    ui::Progress,
};

/// One machine with its condition.
#[derive(Debug)]
pub struct Surveyed<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// What triage said of it.
    pub condition: MachineCondition,
}

/// What a survey lays out.
#[derive(Debug)]
pub struct Survey<'a> {
    /// The catalog.
    pub index: &'a Index<'a>,
    /// The sources, by position.
    pub roots: Vec<&'a EvidenceRoot>,
    /// Id and name of every machine there is, in order.
    pub all: Vec<(String, String)>,
    /// The chosen ones, with their position in `all`.
    pub chosen: Vec<(usize, Surveyed<'a>)>,
    /// Places that could not be listed: path and why.
    pub refused: Vec<(PathBuf, String)>,
    /// Whether judging ended before every disk was looked at.
    pub stopped: bool,
    /// Bytes read so far.
    pub read_bytes: u64,
}

/// Catalogs `sources`, judges the machines that `choose` takes by id and machine, and hands all to
/// `then`.
///
/// # Errors
/// [`SweepError`] when there is nothing to tell.
pub fn survey<R: Send>(
    sources: &[PathBuf],
    options: &SweepOptions,
    families: &Families,
    stop: &AtomicBool,
    progress: &Progress,
    choose: &(dyn Fn(&str, &Machine) -> bool + Sync),
    then: impl FnOnce(Survey<'_>) -> R + Send,
) -> Result<R, SweepError> {
    Job::run(options, families, stop, |job| {
        let gathered = gather::gather(sources, job, progress)?;
        let index = Index::new(&gathered.files);
        let (machines, _) = assemble(&index);
        let all: Vec<(String, String)> =
            machines.iter().map(|m| (id_of(m, &index), m.name.clone())).collect();
        let mut positions = Vec::new();
        let mut chosen = Vec::new();
        for (position, (machine, (id, _))) in machines.iter().zip(&all).enumerate() {
            if choose(id, machine) {
                positions.push(position);
                chosen.push(machine.clone());
            }
        }
        let judged = judge::judge(&gathered, &index, &chosen, &[], job, progress)?;
        let surveyed = chosen.iter().zip(positions).map(|(machine, position)| {
            let condition = condition(machine, &index, &judged);
            (position, Surveyed { machine, condition })
        });
        let refused = gathered.sources.iter().flat_map(|source| {
            source.refused.iter().map(|r| (source.root.display(&r.path), r.why.clone()))
        });
        Ok(then(Survey {
            roots: gathered.sources.iter().map(|source| &source.root).collect(),
            chosen: surveyed.collect(),
            refused: refused.collect(),
            stopped: judged.left_out > 0,
            read_bytes: job.read_bytes(),
            index: &index,
            all,
        }))
    })
}

fn condition(machine: &Machine, index: &Index<'_>, judged: &Judgements) -> MachineCondition {
    let record = machine_record(machine, id_of(machine, index), index, judged);
    let disks = machine.disks.iter().map(|disk| {
        let found = judge_disk(disk, index, judged);
        let hit = matches!(
            found.verdict,
            DiskVerdict::Encrypted
                | DiskVerdict::PartlyEncrypted
                | DiskVerdict::Incomplete
                | DiskVerdict::Damaged
                | DiskVerdict::Unreadable
        );
        DiskCondition {
            verdict: found.verdict.word().to_owned(),
            reason: found.reason,
            fit: !hit,
            start: found.rollback.filter(|_| hit).unwrap_or(0),
        }
    });
    let mut original_bytes: HashMap<FileId, (u64, String)> = HashMap::new();
    for id in machine.disks.iter().flat_map(|disk| disk.files()) {
        let Some(content) = judged.disk(id).map(|disk| &disk.content) else { continue };
        let size = index.file(id).size_bytes;
        if let Some(over) = size.checked_sub(content.original_size_bytes).filter(|over| *over > 0) {
            let family =
                content.family.as_ref().map_or(String::new(), |f| format!(" of {}", f.name));
            let what = format!("an appended footer{family} of {over}");
            original_bytes.insert(id, (content.original_size_bytes, what));
        }
    }
    MachineCondition {
        disks: disks.collect(),
        original_bytes,
        is_untouched: record.verdict == MachineVerdict::Untouched,
        verdict: record.verdict.word().to_owned(),
        route: record.route.word().to_owned(),
        reason: record.reason,
        findings: record.findings,
        id: record.id,
    }
}
