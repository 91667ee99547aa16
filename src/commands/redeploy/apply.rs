//! `vmglean redeploy apply`: a plan carried out, or shown call by call.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    super::{Refusal, Usage},
    contact::{Login, connect, outside, same_server},
    in_use, step_error,
};
use crate::{
    cli::parse_duration,
    interrupt::Interrupt,
    outcome::Outcome,
    redeploy::{
        apply::{Fate, Options, Run, StepError},
        estate::Estate,
        journal::{self, Journal, Phase, Step, Told},
        plan::{Machine, Plan, Route, check},
        preflight::preflight,
        vsphere::Pace,
    },
    ui::Ui,
};

/// Arguments of `redeploy apply`.
#[derive(Clone, Debug, clap::Args)]
pub struct ApplyArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// The journal [default: redeploy.journal.jsonl beside the plan]
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Look at everything, show every step, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// At most this many bytes a second, all uploads together (50MiB)
    #[arg(long, value_name = "SIZE")]
    pub limit_rate: Option<bytesize::ByteSize>,
    /// Further tries of a machine whose line broke
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub retries: u32,
    /// Give an upload up when nothing moves for this long
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "2m")]
    pub stall: Duration,
    /// How to reach the server.
    #[command(flatten)]
    pub login: Login,
}

fn load(path: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let context = format!("cannot read {}", path.display());
        anyhow::Error::new(error).context(context)
    })?;
    Plan::parse(&text).map_err(|error| Usage(format!("{}: {error}", path.display())).into())
}

pub(super) fn apply(args: &ApplyArgs, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    let plan = load(&args.plan)?;
    let wrong = check(&plan);
    if !wrong.is_empty() {
        return Err(Refusal::Rule(wrong.join("; ")).into());
    }
    let journal_path =
        args.journal.clone().unwrap_or_else(|| args.plan.with_file_name("redeploy.journal.jsonl"));
    let pin = plan.server.thumbprint.as_deref().unwrap_or_default();
    let planned = Some((pin, plan.server.user.as_deref()));
    let server = connect(Some(&plan.server.address), planned, &args.login)?;
    let told = if journal_path.exists() { Journal::read(&journal_path)? } else { Told::default() };
    same_server(&told, &server)?;
    same_machines(&told, &plan)?;
    let estate = Estate::read(&server).map_err(outside)?;
    let found = preflight(&server, &plan, &estate, &told).map_err(outside)?;
    for line in &found.warnings {
        ui.warn(line);
    }
    if args.dry_run {
        for line in &found.problems {
            ui.warn(format!("problem: {line}"));
        }
        show(&plan, &told, ui)?;
        return Ok(if found.problems.is_empty() { Outcome::Clean } else { Outcome::Refused });
    }
    if !found.problems.is_empty() {
        return Err(
            Refusal::Rule(format!("nothing was made: {}", found.problems.join("; "))).into()
        );
    }
    let journal = Journal::open(&journal_path).map_err(in_use)?;
    if told.open.is_none() {
        let open = Step::Open {
            schema: journal::SCHEMA.to_owned(),
            server: server.address().base(),
            instance: server.about().instance_uuid.clone(),
            user: server.user().to_owned(),
        };
        journal.note(None, Phase::Done, &open, None)?;
    }
    let total = plan
        .machines
        .iter()
        .filter(|m| told.machines.get(&m.name).is_none_or(|record| record.whole.is_none()))
        .map(Machine::bytes)
        .fold(0, u64::saturating_add);
    let progress = ui.progress("sending", Some(total));
    let options = Options {
        retries: args.retries,
        stall: args.stall,
        pace: Pace::new(args.limit_rate.map(|size| size.as_u64())),
        ..Options::default()
    };
    let run = Run {
        server: &server,
        plan: &plan,
        estate: &estate,
        journal: &journal,
        options: &options,
        stop: &stop.flag(),
        moved: &|bytes| progress.add(bytes),
        lost: &|bytes| progress.take_back(bytes),
        say: &|line| ui.message(line),
    };
    let fates = run.apply();
    progress.finish();
    let fates = fates.map_err(step_error)?;
    Ok(sum(&fates, ui))
}

fn sum(fates: &BTreeMap<String, Fate>, ui: &Ui) -> Outcome {
    let count = |wanted: fn(&Fate) -> bool| fates.values().filter(|fate| wanted(fate)).count();
    let made = count(|fate| matches!(fate, Fate::Made));
    let already = count(|fate| matches!(fate, Fate::Already));
    let failed = count(|fate| matches!(fate, Fate::Failed(_)));
    let waiting = count(|fate| matches!(fate, Fate::Waiting));
    ui.message(format!(
        "{made} made, {already} there already, {failed} failed, {waiting} not taken up{}",
        if failed + waiting > 0 { "; run again to go on" } else { "" }
    ));
    let mut outcome = Outcome::Clean;
    for fate in fates.values() {
        outcome = outcome.and(match fate {
            Fate::Made | Fate::Already => Outcome::Clean,
            Fate::Failed(StepError::Unverified(_)) => Outcome::Unverified,
            Fate::Failed(StepError::Refused(_)) => Outcome::Refused,
            Fate::Failed(_) | Fate::Waiting => Outcome::Partial,
        });
    }
    if outcome == Outcome::Partial && made + already == 0 { Outcome::Io } else { outcome }
}

/// What was begun is finished as it was begun.
fn same_machines(told: &Told, plan: &Plan) -> anyhow::Result<()> {
    for machine in &plan.machines {
        let known = told.machines.get(&machine.name).and_then(|record| record.digest.as_deref());
        if known.is_some_and(|known| known != machine.digest()) {
            return Err(Refusal::Rule(format!(
                "machine {:?} was changed in the plan after it was begun; undo first, or give the change back",
                machine.name
            ))
            .into());
        }
    }
    Ok(())
}

/// Every call, in order, without making one.
fn show(plan: &Plan, told: &Told, ui: &Ui) -> anyhow::Result<()> {
    let mut out = ui.stdout();
    let mut machines: Vec<&Machine> = plan.machines.iter().collect();
    machines.sort_by_key(|machine| machine.wave);
    let mut hosts: Vec<&str> = machines.iter().map(|m| m.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let plain = crate::report::plain::plain;
    let network = &plan.network;
    if network.make_isolated {
        for host in hosts {
            let (host, switch, name) = (plain(host), plain(&network.switch), plain(&network.name));
            writeln!(
                out,
                "{host}: AddVirtualSwitch {switch} (without uplink, unless it is there)"
            )?;
            writeln!(out, "{host}: AddPortGroup {name} on {switch} (unless it is there)")?;
        }
    }
    for machine in machines {
        let name = plain(&machine.name);
        if told.machines.get(&machine.name).is_some_and(|record| record.whole.is_some()) {
            writeln!(out, "{name}: there already")?;
            continue;
        }
        if !machine.guessed.is_empty() {
            writeln!(out, "{name}: values are guessed, see \"guessed\" in the plan")?;
        }
        let root = format!("[{}] {}", machine.datastore, machine.folder());
        let root = plain(&root);
        if machine.route == Route::Import {
            writeln!(
                out,
                "{name}: ImportVApp to [{}] on {}",
                plain(&machine.datastore),
                plain(&machine.host)
            )?;
        } else {
            writeln!(out, "{name}: MakeDirectory {root}")?;
        }
        for disk in &machine.disks {
            match disk.names() {
                Some((descriptor, flat)) => {
                    let (descriptor, flat) = (plain(&descriptor), plain(&flat));
                    writeln!(out, "{name}: PUT {root}/{flat} ({} bytes)", disk.size_bytes)?;
                    writeln!(out, "{name}: PUT {root}/{descriptor}")?;
                }
                None => {
                    let data = disk.data.display().to_string();
                    writeln!(out, "{name}: POST {} ({} bytes)", plain(&data), disk.size_bytes)?;
                }
            }
        }
        let nvram = machine.nvram.as_ref().map(|path| path.display().to_string());
        let nvram = nvram.map(|nvram| format!("{name}: PUT {root}/{}", plain(&nvram)));
        if let Some(line) = nvram.as_ref().filter(|_| machine.route == Route::Register) {
            writeln!(out, "{line}")?;
        }
        if machine.route == Route::Register {
            writeln!(out, "{name}: PUT {root}/{}.vmx", plain(machine.folder()))?;
        }
        match machine.route {
            Route::Import => {
                writeln!(out, "{name}: HttpNfcLeaseProgress while that lasts")?;
                writeln!(out, "{name}: HttpNfcLeaseComplete")?;
            }
            Route::Create => {
                writeln!(out, "{name}: CreateVM_Task {root}/{}.vmx", plain(machine.folder()))?;
                if let Some(line) = &nvram {
                    writeln!(out, "{line}")?;
                }
            }
            Route::Register => {
                writeln!(out, "{name}: RegisterVM_Task {root}/{}.vmx", plain(machine.folder()))?;
            }
        }
        writeln!(out, "{name}: ReconfigVM_Task where the server's view differs from the plan")?;
        if machine.power_on {
            writeln!(out, "{name}: PowerOnVM_Task when wave {} is complete", machine.wave)?;
        }
    }
    out.flush()?;
    Ok(())
}
