//! `vmglean sweep`: the main job.

use std::{path::PathBuf, time::Duration};

use super::{
    Usage, check_output,
    datastore::{Remotes, is_remote, remotes},
    known_families,
    redeploy::Login,
    run_info, write_whole,
};
use crate::{
    cli::{Format, Global, parse_duration},
    interrupt::Interrupt,
    outcome::Outcome,
    report::{
        self,
        text::{TextOptions, write_sweep},
    },
    sweep::{SweepOptions, Swept, sweep},
    triage::quick::QuickOptions,
    ui::Ui,
};

/// Arguments of `sweep`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folders that hold datastores, or single files; vsphere://host/datastore on a server
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// In which form the record goes to stdout.
    #[command(flatten)]
    pub format: Format,
    /// List every machine; without it, long groups are cut and counted
    #[arg(long)]
    pub all: bool,
    /// Also write the record as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Windows measured in each disk; 688 find an encrypted share of 1 % with 99.9 % probability
    #[arg(long, value_name = "N", default_value_t = 688)]
    pub samples: u32,
    /// Stop measuring after this time (90s, 20m, 1h30m) and exit with 75; --state goes on later
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub budget: Option<Duration>,
    /// Map every byte of every disk instead of measuring samples
    #[arg(long)]
    pub full: bool,
    /// Keep what is judged in FILE, and go on from there when run again
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// More families, or other facts for known ones, in the form of docs/guide/families.md
    #[arg(long, value_name = "FILE")]
    pub families: Option<PathBuf>,
    /// A folder outside the sources that names found in evidence may lead to; may be repeated
    #[arg(long, value_name = "DIR")]
    pub allow: Vec<PathBuf>,
    /// Leave times, version and arguments out of the record
    #[arg(long)]
    pub reproducible: bool,
    /// Replace an output that is there
    #[arg(long)]
    pub overwrite: bool,
    /// How to reach the server.
    #[command(flatten)]
    pub login: Login,
}

/// Sweeps the sources and writes the record.
///
/// # Errors
/// When nothing can be delivered, or a rule forbids the output.
pub fn run(args: &Args, global: &Global, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    let started = jiff::Timestamp::now();
    if args.samples == 0 {
        return Err(Usage("--samples needs at least 1".to_owned()).into());
    }
    let guarded: Vec<PathBuf> = args.sources.iter().chain(&args.allow).cloned().collect();
    if let Some(html) = &args.html {
        check_output(html, &guarded, args.overwrite)?;
    }
    if let Some(state) = &args.state {
        // An older state of the same sweep is what the flag is for.
        check_output(state, &guarded, true)?;
    }
    if args.state.is_some() && args.sources.iter().any(|source| is_remote(source)) {
        return Err(Usage("--state keeps nothing of a source on a server".to_owned()).into());
    }
    let families = known_families(args.families.as_deref())?;
    let remotes: Remotes = remotes(&args.sources, &args.login, ui, stop)?;
    let options = SweepOptions {
        threads: global.threads(),
        access: global.io.into(),
        quick: QuickOptions { samples: args.samples, full: args.full, ..QuickOptions::default() },
        budget: args.budget,
        state: args.state.clone(),
        allow: args.allow.clone(),
        remote: remotes.sources.clone(),
    };
    let progress = ui.progress("sweeping", None);
    let swept = sweep(&args.sources, &options, &families, &stop.flag(), &progress);
    progress.finish();
    let Swept { mut record, read_bytes, outcome } = swept?;
    if !args.reproducible {
        record.run = Some(run_info(started, read_bytes));
    }
    if let Some(html) = &args.html {
        let mut page = Vec::new();
        report::html::write_sweep(&mut page, &record, &Default::default())?;
        write_whole(html, &page, args.overwrite)?;
        ui.message(format!("wrote {}", html.display()));
    }
    if args.format.json {
        report::json::write_document(&mut ui.data(), &record)?;
    } else if args.format.jsonl {
        report::json::write_lines(&mut ui.data(), &record)?;
    } else {
        let options = TextOptions { columns: ui.columns(), all: args.all };
        write_sweep(&mut ui.stdout(), &record, options)?;
    }
    Ok(outcome.and(remotes.outcome))
}
