//! `vmglean redeploy`: a plan, then the vSphere API.

mod apply;
mod contact;
mod journal;
mod plan;

pub use apply::ApplyArgs;
pub use contact::Login;
pub(super) use contact::{connect, outside};
pub use journal::{StatusArgs, UndoArgs};
pub use plan::PlanArgs;

use super::Refusal;
use crate::{
    interrupt::Interrupt,
    outcome::Outcome,
    redeploy::{apply::StepError, journal::JournalError},
    ui::Ui,
};

/// Arguments of `redeploy`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The parts of `redeploy`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Write a plan for machines in folders, OVF or OVA files. Changes nothing on the server
    Plan(PlanArgs),
    /// Carry a plan out; run again, it goes on where it stood
    Apply(ApplyArgs),
    /// Show what a journal says
    Status(StatusArgs),
    /// Remove exactly what a journal says was made, after showing it
    Undo(UndoArgs),
}

/// Runs a part of `redeploy`.
///
/// # Errors
/// When nothing can be delivered, or a rule forbids it.
pub fn run(args: &Args, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    match &args.command {
        Command::Plan(args) => plan::make_plan(args, ui),
        Command::Apply(args) => apply::apply(args, ui, stop),
        Command::Status(args) => journal::status(args, ui),
        Command::Undo(args) => journal::take_back(args, ui, stop),
    }
}

fn step_error(error: StepError) -> anyhow::Error {
    match error {
        StepError::Server(error) => contact::outside(error),
        StepError::Refused(why) => Refusal::Rule(why).into(),
        other => other.into(),
    }
}

fn in_use(error: JournalError) -> anyhow::Error {
    match error {
        JournalError::InUse(_) => Refusal::Rule(error.to_string()).into(),
        other => other.into(),
    }
}
