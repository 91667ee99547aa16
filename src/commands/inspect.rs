//! `vmglean inspect`: one file taken apart.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{check_output, known_families, run_info, write_whole};
use crate::{
    cli::{Format, Global},
    inspect::{InspectOptions, Inspected, inspect},
    interrupt::Interrupt,
    outcome::Outcome,
    report::{
        inspect::{InspectRecord, InspectedFile, write_lines, write_text},
        json::write_document,
    },
    ui::Ui,
};

/// Arguments of `inspect`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Files to take apart
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// In which form the record goes to stdout.
    #[command(flatten)]
    pub format: Format,
    /// Folder that names found in a file may lead to [default: the file's own folder]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Write the .vmx, .nvram and .vmxf that lie inside checkpoints to DIR, which is made if needed
    #[arg(long, value_name = "DIR")]
    pub extract: Option<PathBuf>,
    /// Replace files in DIR that are there
    #[arg(long, requires = "extract")]
    pub overwrite: bool,
    /// More families, or other facts for known ones, in the form of docs/guide/families.md
    #[arg(long, value_name = "FILE")]
    pub families: Option<PathBuf>,
    /// Leave times, version and arguments out of the record
    #[arg(long)]
    pub reproducible: bool,
}

/// Takes the files apart and writes what they are made of.
///
/// # Errors
/// When nothing can be delivered.
pub fn run(args: &Args, global: &Global, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    let started = jiff::Timestamp::now();
    let families = known_families(args.families.as_deref())?;
    let options = InspectOptions { access: global.io.into(), root: args.root.clone() };
    let mut outcome = Outcome::Clean;
    let mut files: Vec<InspectedFile> = Vec::new();
    for path in &args.files {
        if stop.asked() {
            break;
        }
        let inspected = inspect(path, &options, &families);
        if let Some(folder) = &args.extract {
            extract(&inspected, path, folder, args, ui)?;
        }
        outcome = outcome.and(inspected.outcome);
        files.push(inspected.file);
    }
    // Where not one file was to be had, nothing was delivered.
    if files.iter().all(|file| file.error.is_some() && file.size_bytes == 0) {
        outcome = outcome.and(Outcome::Io);
    }
    let read_bytes = files.iter().map(|file| file.size_bytes).sum();
    let mut record = InspectRecord::new(files);
    if !args.reproducible {
        record.run = Some(run_info(started, read_bytes));
    }
    if args.format.json {
        write_document(&mut ui.data(), &record)?;
    } else if args.format.jsonl {
        write_lines(&mut ui.data(), &record)?;
    } else {
        write_text(&mut ui.stdout(), &record, ui.columns())?;
    }
    Ok(outcome)
}

/// Writes what lies inside `path` to `folder`, under the checkpoint's name.
fn extract(
    inspected: &Inspected,
    path: &Path,
    folder: &Path,
    args: &Args,
    ui: &Ui,
) -> anyhow::Result<()> {
    if inspected.spares.is_empty() {
        ui.warn(format!("{} holds no copy of another file", path.display()));
        return Ok(());
    }
    // The folder must not be made inside the evidence either.
    check_output(folder, &args.files, true)?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for spare in &inspected.spares {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(spare.extension);
        let output = folder.join(name);
        check_output(&output, &args.files, args.overwrite)?;
        write_whole(&output, &spare.bytes, args.overwrite)?;
        ui.message(format!("wrote {}", output.display()));
    }
    Ok(())
}
