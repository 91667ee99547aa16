//! From folders and archives to machines, before any server is asked.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Machine, lone, origin, ovf, vmx};

/// Machines found, and what could not be made into one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// With neither host nor datastore yet.
    pub machines: Vec<Machine>,
    /// One line each.
    pub left_out: Vec<String>,
}

/// Looks at each source: a `.vmx`, `.ovf` or `.ova`, a disk of which nothing else is left, a
/// machine's folder, or a folder of such. Names are not yet told apart.
///
/// # Errors
/// The system's, with the source that cannot be looked at.
pub fn draft(sources: &[PathBuf]) -> Result<Draft, (PathBuf, io::Error)> {
    let mut draft = Draft::default();
    for source in sources {
        let fail = |error| (source.clone(), error);
        let source = source.canonicalize().map_err(fail)?;
        if source.is_file() {
            if !add(&mut draft, &source) {
                let (folder, name) = (source.parent(), source.file_name());
                let (Some(folder), Some(name)) = (folder, name) else { continue };
                match lone::machine(folder, Path::new(name)) {
                    Ok(mut machine) => {
                        origin::tell(&mut machine);
                        draft.machines.push(machine);
                    }
                    Err(why) => draft.left_out.push(why),
                }
            }
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
            draft.left_out.push(nothing(&source).map_err(fail)?);
        }
    }
    Ok(draft)
}

/// A folder of disks without a configuration is not guessed at: which of them belong together,
/// and whether they are sound, is for salvage to say.
fn nothing(folder: &Path) -> io::Result<String> {
    let is_disk =
        |path: &&PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("vmdk"));
    let listed = listed(folder)?;
    let shown = folder.display();
    Ok(match listed.iter().find(is_disk).and_then(|path| path.file_name()) {
        Some(disk) => format!(
            "{shown}: holds disks and no .vmx, .ovf or .ova; vmglean salvage writes one, or name a \
             disk itself ({}), and its hardware is guessed",
            folder.join(disk).display()
        ),
        None => format!("{shown}: holds no .vmx, .ovf or .ova"),
    })
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

/// Whether the file is one that describes machines.
fn add(draft: &mut Draft, path: &Path) -> bool {
    let kind = path.extension().map(|e| e.to_ascii_lowercase());
    let made = match kind.as_deref().and_then(OsStr::to_str) {
        Some("vmx") => {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                return false;
            };
            vmx::machine(folder, Path::new(name)).map(|mut machine| {
                origin::tell(&mut machine);
                vec![machine]
            })
        }
        Some("ovf" | "ova") => ovf::machines(path),
        _ => return false,
    };
    match made {
        Ok(machines) => draft.machines.extend(machines),
        Err(why) => draft.left_out.push(why),
    }
    true
}

impl Draft {
    /// Takes in what another one found.
    pub fn join(&mut self, other: Self) {
        self.machines.extend(other.machines);
        self.left_out.extend(other.left_out);
    }

    /// Two machines of one name get numbers, with a note.
    pub fn tell_names_apart(&mut self) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for machine in &mut self.machines {
            let count = seen.entry(machine.name.clone()).or_default();
            *count += 1;
            if *count > 1 {
                let note = format!("another machine here is called {:?} too", machine.name);
                machine.notes.push(note);
                machine.name = format!("{}-{count}", machine.name);
                if machine.directory.is_some() {
                    machine.directory = Some(vmx::directory(&machine.name));
                }
            }
        }
    }
}
