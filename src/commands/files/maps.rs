//! The disks that files are searched on, each with its map.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;

use super::Args;
use crate::{
    chain,
    cli::Global,
    commands::recorded::Recorded,
    disk::{Companions, FolderCompanions, VirtualDisk, open_chain},
    families::Families,
    interrupt::Interrupt,
    map::map_chain,
    triage::{
        judge::{JudgeOptions, Run},
        pass::{Cancel, PassOptions},
    },
    ui::Ui,
};

/// Opens the disk asked for and those given with it, in this order.
pub(super) fn disks(
    args: &Args,
    families: &Families,
    global: &Global,
) -> anyhow::Result<Vec<VirtualDisk>> {
    let paths = std::iter::once(&args.disk).chain(&args.with);
    paths
        .map(|path| {
            let opened = chain::open(path, args.root.as_deref(), global.io.into(), families)?;
            Ok(opened.chain.into_disk())
        })
        .collect()
}

/// The map of each of the disks: of the first the recorded one, where there is one. `None` where it
/// was stopped.
pub(super) fn maps(
    args: &Args,
    disks: &[VirtualDisk],
    families: &Families,
    global: &Global,
    ui: &Ui,
    stop: &Interrupt,
) -> anyhow::Result<Option<Vec<Vec<Run>>>> {
    let mut all = Vec::new();
    for (path, disk) in std::iter::once(&args.disk).chain(&args.with).zip(disks) {
        let recorded_map = args.map.as_ref().filter(|_| all.is_empty());
        let runs = match recorded_map {
            Some(file) => recorded(file, disk, families)?,
            None => match made(path, args, families, global, ui, stop)? {
                Some(runs) => runs,
                None => return Ok(None),
            },
        };
        all.push(runs);
    }
    Ok(Some(all))
}

/// A map that was made before.
fn recorded(file: &Path, disk: &VirtualDisk, families: &Families) -> anyhow::Result<Vec<Run>> {
    let map = Recorded::read(file)?;
    map.check(disk, families)?;
    Ok(map.damage_map().runs)
}

/// A map made now, as `map` makes it; `None` where it was stopped.
fn made(
    path: &Path,
    args: &Args,
    families: &Families,
    global: &Global,
    ui: &Ui,
    stop: &Interrupt,
) -> anyhow::Result<Option<Vec<Run>>> {
    let (root, rel) =
        chain::place(path, args.root.as_deref(), global.io.into()).map_err(anyhow::Error::msg)?;
    let folder: Arc<dyn Companions> = Arc::new(FolderCompanions::new(Arc::new(root)));
    let chain = open_chain(&folder, &rel).with_context(|| path.display().to_string())?;
    let total = chain.disk().files().iter().map(|file| file.source.len_bytes()).sum();
    let progress = ui.progress("mapping the damage", Some(total));
    let jobs = std::num::NonZeroUsize::new(global.threads()).unwrap_or(std::num::NonZeroUsize::MIN);
    let pass = PassOptions { jobs, ..PassOptions::default() };
    let cancel = Cancel::on(stop.flag(), None);
    let judge = JudgeOptions { strict: args.strict, ..JudgeOptions::default() };
    let map = map_chain(chain, families, &pass, judge, &cancel, &mut |bytes| progress.add(bytes))?;
    progress.finish();
    Ok(map.map(|map| map.runs.into_iter().map(|run| run.run).collect()))
}
