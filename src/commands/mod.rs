//! One thin file a command: arguments, and a `run` that calls the engine and hands on its result.

pub mod chain;
pub mod consolidate;
pub mod files;
pub mod inspect;
pub mod manual;
pub mod map;
pub mod redeploy;
pub mod report;
pub mod salvage;
pub mod sweep;

mod chosen;
mod datastore;
mod given;
mod output;
mod recorded;
mod server;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    cli::{Cli, Command},
    families::Families,
    interrupt::Interrupt,
    outcome::Outcome,
    report::record::{RecordPath, RunInfo},
    ui::{self, Ui, UiOptions},
};

pub use output::{Refusal, check_output, write_whole};

/// The command line's words do not fit together in a way clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// What is known of families, with the user's file laid over it.
fn known_families(file: Option<&Path>) -> Result<Families, Usage> {
    let known = match file {
        Some(file) => Families::with_file(file),
        None => Families::built_in(),
    };
    // With its cause: a slip is named by line and column.
    known.map_err(|error| Usage(format!("{:#}", anyhow::Error::from(error))))
}

/// Runs the command and answers with its exit code; the one place where errors are printed.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let stop = Interrupt::listen().unwrap_or_default();
    let ui = Ui::new(UiOptions::from(&cli.global));
    let done = match cli.command {
        Command::Sweep(args) => sweep::run(&args, &cli.global, &ui, &stop),
        Command::Inspect(args) => inspect::run(&args, &cli.global, &ui, &stop),
        Command::Chain(args) => chain::run(&args, &cli.global, &ui, &stop),
        Command::Consolidate(args) => consolidate::run(&args, &cli.global, &ui, &stop),
        Command::Salvage(args) => salvage::run(&args, &cli.global, &ui, &stop),
        Command::Map(args) => map::run(&args, &cli.global, &ui, &stop),
        Command::Files(args) => files::run(&args, &cli.global, &ui, &stop),
        Command::Report(args) => report::run(&args, &ui),
        Command::Redeploy(args) => redeploy::run(&args, &ui, &stop),
        Command::Completions(args) => manual::completions(args),
        Command::Man => manual::man(),
    };
    match done {
        Ok(outcome) => stop.exit_code().map_or_else(|| outcome.into(), ExitCode::from),
        Err(error) => {
            // A reader that went away (`| head`) is no error of ours.
            if ui::ends_quietly(error.as_ref()) {
                return ExitCode::SUCCESS;
            }
            ui.error(format!("{error:#}"));
            if error.is::<Usage>() {
                ExitCode::from(2)
            } else if error.is::<Refusal>() {
                Outcome::Refused.into()
            } else if consolidate::is_unverified(&error) {
                Outcome::Unverified.into()
            } else {
                Outcome::Io.into()
            }
        }
    }
}

/// The part of a record that depends on time: from `started` to now.
fn run_info(started: jiff::Timestamp, read_bytes: u64) -> RunInfo {
    // Seconds are as fine as anybody needs, and sort as text.
    let second = |time: jiff::Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    RunInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arguments: std::env::args_os().map(PathBuf::from).map(RecordPath::from).collect(),
        started: second(started),
        finished: second(jiff::Timestamp::now()),
        read_bytes,
        input_sha256: Vec::new(),
    }
}

/// Asks the system for no huge pages: they would round each small heap of each thread up to 2 MiB,
/// which is half of what a map takes. Where it cannot do without them, it works as well.
fn without_huge_pages() {
    let _unheeded = rustix::thread::disable_transparent_huge_pages(true);
}
