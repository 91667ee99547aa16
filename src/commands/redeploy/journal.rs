//! `vmglean redeploy status` and `undo`: what the journal says, and that taken back.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
};

use super::{
    super::Refusal,
    contact::{Login, connect, same_server},
    in_use, step_error,
};
use crate::{
    cli::Format,
    interrupt::Interrupt,
    outcome::Outcome,
    redeploy::{
        apply::{removals, undo},
        journal::{Journal, Step},
    },
    report::json::write_document,
    ui::Ui,
};

/// Arguments of `redeploy status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// The journal
    #[arg(value_name = "JOURNAL", default_value = "redeploy.journal.jsonl")]
    pub journal: PathBuf,
    /// In which form.
    #[command(flatten)]
    pub format: Format,
}

/// Arguments of `redeploy undo`.
#[derive(Clone, Debug, clap::Args)]
pub struct UndoArgs {
    /// The journal
    #[arg(value_name = "JOURNAL")]
    pub journal: PathBuf,
    /// Remove without asking
    #[arg(long)]
    pub yes: bool,
    /// Stop machines that run, as if their plug were pulled
    #[arg(long)]
    pub power_off: bool,
    /// How to reach the server.
    #[command(flatten)]
    pub login: Login,
}

pub(super) fn status(args: &StatusArgs, ui: &Ui) -> anyhow::Result<Outcome> {
    let told = Journal::read(&args.journal)?;
    let states: Vec<_> = told.machines.iter().map(|(name, record)| record.state(name)).collect();
    let mut out = ui.stdout();
    if args.format.json {
        let server = match &told.open {
            Some(Step::Open { server, .. }) => Some(server),
            _ => None,
        };
        let schema = "vmglean.redeploy-status/1";
        let whole = serde_json::json!({"schema": schema, "server": server, "machines": states});
        write_document(&mut out, &whole)?;
    } else if args.format.jsonl {
        for state in &states {
            serde_json::to_writer(&mut out, state)?;
            writeln!(out)?;
        }
    } else {
        let plain = crate::report::plain::plain;
        for state in &states {
            let reason = state.reason.map(|why| format!("  ({})", plain(why))).unwrap_or_default();
            writeln!(out, "{:<12}  {}{reason}", state.state, plain(state.machine))?;
        }
    }
    out.flush()?;
    let half = states.iter().any(|state| state.state == "begun");
    Ok(if half { Outcome::Partial } else { Outcome::Clean })
}

pub(super) fn take_back(args: &UndoArgs, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    // Opening would make one.
    if let Err(missing) = std::fs::metadata(&args.journal) {
        return Err(
            anyhow::Error::new(missing).context(format!("journal {}", args.journal.display()))
        );
    }
    let journal = Journal::open(&args.journal).map_err(in_use)?;
    let told = journal.told();
    let Some(Step::Open { server: address, user, .. }) = &told.open else {
        ui.message("the journal holds nothing to remove");
        return Ok(Outcome::Clean);
    };
    let list = removals(&journal);
    let mut out = ui.stdout();
    for removal in &list {
        writeln!(out, "{}", crate::report::plain::plain(&removal.to_string()))?;
    }
    out.flush()?;
    if list.is_empty() {
        ui.message("nothing is left to remove");
        return Ok(Outcome::Clean);
    }
    if !args.yes && !agreed(list.len(), ui)? {
        return Err(
            Refusal::Rule("nothing was removed; --yes removes what is listed".to_owned()).into()
        );
    }
    let server = connect(Some(address), Some(("", Some(user))), &args.login)?;
    same_server(&told, &server)?;
    let stay = undo(&server, &journal, args.power_off, &stop.flag(), &|line| ui.message(line))
        .map_err(step_error)?;
    for line in &stay {
        ui.warn(line);
    }
    Ok(if stay.is_empty() { Outcome::Clean } else { Outcome::Partial })
}

fn agreed(count: usize, ui: &Ui) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    ui.message(format!("remove these {count} things? type yes"));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}
