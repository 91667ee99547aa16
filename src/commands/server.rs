//! `vmglean salvage vsphere://host`: configurations as a live server shows them.

use std::fs;

use anyhow::Context as _;

use super::{
    Refusal, Usage,
    datastore::{SCHEME, is_remote},
    redeploy::{connect, outside},
    salvage::Args,
    write_whole,
};
use crate::{
    interrupt::Interrupt,
    outcome::Outcome,
    redeploy::view::{View, views},
    report::{json::write_document, plain::plain},
    salvage::names::{Unique, safe_name},
    ui::Ui,
};

#[derive(serde::Serialize)]
struct Written {
    #[serde(flatten)]
    view: View,
    /// The file that was written.
    written: String,
}

/// Writes the `.vmx` of each machine that is meant below `--out`. Nothing on the server is changed.
///
/// # Errors
/// When the server cannot be had or a file cannot be written.
pub(super) fn configurations(args: &Args, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    if !args.sources.iter().all(|source| is_remote(source)) {
        return Err(Usage("folders and servers are salvaged in runs of their own".into()).into());
    }
    if args.ovf || args.ova || args.include_damaged || args.memory || args.full {
        let why = "of a server only configurations are written; sweep vsphere://host/datastore judges its disks";
        return Err(Usage(why.to_owned()).into());
    }
    let mut unique = Unique::default();
    let mut written = Vec::new();
    for source in &args.sources {
        let text = source.to_string_lossy();
        let host = text.strip_prefix(SCHEME).unwrap_or_default().trim_end_matches('/');
        if host.contains('/') {
            let why = format!(
                "salvage reads the machines of a whole server, {SCHEME}host; --machine chooses"
            );
            return Err(Usage(why).into());
        }
        let server = connect(Some(host).filter(|host| !host.is_empty()), None, &args.login)?;
        for view in views(&server).map_err(outside)? {
            let folder = unique.take(&safe_name(&view.name));
            let named =
                |name: &String| view.name.eq_ignore_ascii_case(name) || *name == view.object.id;
            if !args.machine.is_empty() && !args.machine.iter().any(named) {
                continue;
            }
            let path = args.out.join(&folder).join(format!("{folder}.vmx"));
            written.push((path, view));
        }
    }
    if written.is_empty() {
        return Err(anyhow::anyhow!("no such machine is on the server"));
    }
    if !args.overwrite && !args.dry_run {
        let there = written.iter().find(|(path, _)| path.symlink_metadata().is_ok());
        if let Some((path, _)) = there {
            return Err(Refusal::Exists(path.clone()).into());
        }
    }
    let mut outcome = Outcome::Clean;
    let mut list = Vec::new();
    for (path, view) in written {
        if stop.asked() {
            outcome = outcome.and(Outcome::Stopped);
            break;
        }
        if !args.dry_run {
            let folder = path.parent().unwrap_or(&args.out);
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            write_whole(&path, view.text.as_bytes(), args.overwrite)?;
        }
        list.push(Written { view, written: path.display().to_string() });
    }
    if args.format.json {
        let schema = "vmglean.server-config/1";
        write_document(&mut ui.data(), &serde_json::json!({"schema": schema, "machines": list}))?;
    } else {
        let mut out = ui.stdout();
        use std::io::Write as _;
        for one in &list {
            if args.format.jsonl {
                serde_json::to_writer(&mut out, one)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}  {}", plain(&one.view.name), plain(&one.written))?;
                for note in &one.view.notes {
                    writeln!(out, "    {}", plain(note))?;
                }
            }
        }
        out.flush()?;
    }
    Ok(outcome)
}
