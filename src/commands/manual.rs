//! Completions and the manual page, made from the same definitions as `--help`.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{cli::Cli, outcome::Outcome};

/// Arguments of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionArgs {
    /// The shell to complete for
    pub shell: Shell,
}

/// Writes completions to stdout.
///
/// # Errors
/// When stdout cannot be written.
pub fn completions(args: CompletionArgs) -> anyhow::Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vmglean", &mut text);
    io::stdout().write_all(&text)?;
    Ok(Outcome::Clean)
}

/// Writes the manual page to stdout.
///
/// # Errors
/// When stdout cannot be written.
pub fn man() -> anyhow::Result<Outcome> {
    clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?;
    Ok(Outcome::Clean)
}
