//! The command line's door: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;

/// A datastore is hundreds of thousands of small strings; measured on 10,000 folders in
/// docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vmglean::commands::run(vmglean::cli::Cli::parse())
}
