//! From folders and archives to machines, before any server is asked.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Machine, ovf, vmx};

/// Machines found, and what could not be made into one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// With neither host nor datastore yet.
    pub machines: Vec<Machine>,
    /// One line each.
    pub left_out: Vec<String>,
}

/// Looks at each source: an `.ovf` or `.ova`, a machine's folder, or a folder of such.
///
/// # Errors
/// The system's, with the source that cannot be looked at.
pub fn draft(sources: &[PathBuf]) -> Result<Draft, (PathBuf, io::Error)> {
    let mut draft = Draft::default();
    for source in sources {
        let fail = |error| (source.clone(), error);
        let source = source.canonicalize().map_err(fail)?;
        if source.is_file() {
            add(&mut draft, &source);
            continue;
        }
        let before = (draft.machines.len(), draft.left_out.len());
        look(&mut draft, &source).map_err(fail)?;
        if before == (draft.machines.len(), draft.left_out.len()) {
            for folder in listed(&source).map_err(fail)?.iter().filter(|path| path.is_dir()) {
                look(&mut draft, folder).map_err(|error| (folder.clone(), error))?;
            }
        }
        if before == (draft.machines.len(), draft.left_out.len()) {
            draft.left_out.push(format!("{}: holds no .vmx, .ovf or .ova", source.display()));
        }
    }
    part_names(&mut draft);
    Ok(draft)
}

fn look(draft: &mut Draft, folder: &Path) -> io::Result<()> {
    for path in listed(folder)?.iter().filter(|path| !path.is_dir()) {
        add(draft, path);
    }
    Ok(())
}

fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

fn add(draft: &mut Draft, path: &Path) {
    let kind = path.extension().map(|e| e.to_ascii_lowercase());
    let made = match kind.as_deref().and_then(OsStr::to_str) {
        Some("vmx") => {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
            vmx::machine(folder, Path::new(name)).map(|machine| vec![machine])
        }
        Some("ovf" | "ova") => ovf::machines(path),
        _ => return,
    };
    match made {
        Ok(machines) => draft.machines.extend(machines),
        Err(why) => draft.left_out.push(why),
    }
}

/// Two machines of one name get numbers, with a note.
fn part_names(draft: &mut Draft) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for machine in &mut draft.machines {
        let count = seen.entry(machine.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            machine.notes.push(format!("another machine here is called {:?} too", machine.name));
            machine.name = format!("{}-{count}", machine.name);
            if machine.directory.is_some() {
                machine.directory = Some(vmx::directory(&machine.name));
            }
        }
    }
}
