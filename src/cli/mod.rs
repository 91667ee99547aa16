//! What the command line accepts. Types only: parsing never does work.

mod duration;
mod size;

use std::num::NonZeroUsize;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::{commands, source::Access};

pub use duration::parse_duration;
pub use size::parse_size;

/// Gleans what ransomware left of VMware virtual machines.
///
/// Evidence is only ever read. Data goes to stdout, everything else to stderr.
///
/// Exit codes: 0 nothing wrong found, 1 damage, encryption or renamed files found, 2 usage, 3 some
/// inputs could not be read, 4 refused by a safety rule, 5 output could not be verified, 74 I/O
/// error, 75 stopped at a deadline or budget, 130/143 interrupted; 75, 130 and 143: run again to go
/// on.
#[derive(Debug, Parser)]
#[command(name = "vmglean", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// Options every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Catalog a datastore, judge every machine and disk, say what can be had back and how.
    Sweep(commands::sweep::Args),
    /// Take one file apart: every structure, field, offset and defect.
    Inspect(commands::inspect::Args),
    /// The disks under a leaf: links, what is wrong or missing, which points in time can be had.
    Chain(commands::chain::Args),
    /// One disk out of a chain, damaged chains too, from any point in time, every byte accounted for.
    Consolidate(Box<commands::consolidate::Args>),
    /// Put machines together again: configuration, descriptors, small files, disks.
    Salvage(commands::salvage::Args),
    /// Where a disk is zero, intact, encrypted, unreadable or undetermined, and why.
    Map(commands::map::Args),
    /// Volumes and files inside a damaged disk, each with its verdict; whole ones written out.
    Files(commands::files::Args),
    /// Show a recorded sweep as a page, text or a table.
    Report(commands::report::Args),
    /// Make machines again over the vSphere API: a plan to read, then many at a time.
    Redeploy(commands::redeploy::Args),
    /// Shell completions on stdout.
    #[command(hide = true)]
    Completions(commands::manual::CompletionArgs),
    /// The manual page in roff on stdout.
    #[command(hide = true)]
    Man,
}

/// Options that mean the same everywhere.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Threads to work with [default: one for each processor]
    #[arg(long, global = true, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on stderr; twice: still more
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Colour the text output; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
    /// Progress on stderr; auto: a line on a terminal, else nothing; json: one object a line
    #[arg(long, global = true, value_enum, default_value_t = Progress::Auto, value_name = "HOW")]
    pub progress: Progress,
    /// How evidence is read; map: memory maps on local file systems, where a failing sector or a
    /// file cut short ends the process
    #[arg(long, global = true, value_enum, default_value_t = Io::Read, value_name = "HOW")]
    pub io: Io,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A line on a terminal, else nothing.
    Auto,
    /// One JSON object a line.
    Json,
    /// Nothing.
    None,
}

/// How evidence is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Io {
    /// Positioned reads.
    Read,
    /// Memory maps on local file systems.
    Map,
}

impl From<Io> for Access {
    fn from(io: Io) -> Self {
        match io {
            Io::Read => Self::Read,
            Io::Map => Self::Map,
        }
    }
}

impl Global {
    /// Threads to work with.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }
}

/// In which form results go to stdout.
#[derive(Clone, Copy, Debug, Args)]
pub struct Format {
    /// Write one JSON document instead of text
    #[arg(long, conflicts_with = "jsonl")]
    pub json: bool,
    /// Write one JSON object a line
    #[arg(long)]
    pub jsonl: bool,
}
