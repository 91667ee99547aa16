//! The command line's door: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    vmglean::commands::run(vmglean::cli::Cli::parse())
}
