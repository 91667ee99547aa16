//! `vmglean chain`: the disks under a leaf.

use std::path::PathBuf;

use super::{Usage, known_families, run_info};
use crate::{
    chain::{ChainOptions, ExamineError, examine},
    cli::{Format, Global},
    interrupt::Interrupt,
    outcome::Outcome,
    report::{
        chain::{write_lines, write_text},
        json::write_document,
    },
    ui::Ui,
};

/// Arguments of `chain`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The disk at the top: the descriptor a machine's configuration names
    #[arg(value_name = "LEAF")]
    pub leaf: PathBuf,
    /// In which form the record goes to stdout.
    #[command(flatten)]
    pub format: Format,
    /// Folder that names found in the disks may lead to [default: the leaf's own folder]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Windows measured in each file; 0 leaves the content unjudged
    #[arg(long, value_name = "N", default_value_t = 688)]
    pub samples: u32,
    /// When the attack began, if known (2026-11-21T03:10Z); else the files' times tell
    #[arg(long, value_name = "TIME")]
    pub attack: Option<String>,
    /// More families, or other facts for known ones, in the form of docs/guide/families.md
    #[arg(long, value_name = "FILE")]
    pub families: Option<PathBuf>,
    /// Leave times, version and arguments of this run out of the record
    #[arg(long)]
    pub reproducible: bool,
}

/// Looks at the chain and writes what it is.
///
/// # Errors
/// When nothing can be delivered.
pub fn run(args: &Args, global: &Global, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    let started = jiff::Timestamp::now();
    let attack_us = match &args.attack {
        None => None,
        Some(text) => Some(parse_time(text)?),
    };
    let families = known_families(args.families.as_deref())?;
    let options = ChainOptions {
        access: global.io.into(),
        root: args.root.clone(),
        samples: args.samples,
        attack_us,
    };
    let progress = ui.progress("looking at the chain", None);
    let examined = examine(&args.leaf, &options, &families, &|| stop.asked(), &progress);
    progress.finish();
    let (mut record, outcome) = match examined {
        Ok(examined) => examined,
        Err(ExamineError::Place(what)) => anyhow::bail!(what),
        Err(error) => return Err(anyhow::Error::new(error).context("no chain can be told")),
    };
    if !args.reproducible {
        record.run = Some(run_info(started, 0));
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

fn parse_time(text: &str) -> anyhow::Result<i64> {
    let time = text.parse::<jiff::Timestamp>().or_else(|_| {
        let day: jiff::civil::Date = text.parse()?;
        Ok::<_, jiff::Error>(day.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp())
    });
    let time = time.map_err(|error| Usage(format!("--attack {text:?}: {error}")))?;
    Ok(time.as_microsecond())
}
