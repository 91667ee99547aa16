//! `vmglean redeploy`: a plan, then the vSphere API.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Refusal, Usage, check_output, write_whole};
use crate::{
    cli::{Format, parse_duration},
    interrupt::Interrupt,
    outcome::Outcome,
    redeploy::{
        apply::{Fate, Options, Run, StepError, removals, undo},
        estate::Estate,
        journal::{self, Journal, JournalError, Phase, Step, Told},
        plan::{self, Limits, Machine, NetworkPart, Plan, Route, ServerPart, check, draft},
        preflight::{Preflight, newest_hardware, preflight},
        vsphere::{Address, AddressError, Credentials, Error, Pace, Server, Trust},
    },
    report::json::write_document,
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

/// How to reach the server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct Login {
    /// The user [env: GOVC_USERNAME]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file whose first line is the password; else GOVC_PASSWORD, else a question on a terminal
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// SHA-256 of the server's certificate; without one, it is shown and nothing is sent
    #[arg(long, value_name = "SHA256", conflicts_with = "ca")]
    pub thumbprint: Option<String>,
    /// Certificates (PEM) that vouch for the server [env: GOVC_TLS_CA_CERTS]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Arguments of `redeploy plan`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// Folders of machines, folders of such folders, .ovf and .ova files
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// vCenter or ESXi host: a name, host:port or https://host [env: GOVC_URL]
    #[arg(long, value_name = "ADDRESS")]
    pub server: Option<String>,
    /// How to reach the server.
    #[command(flatten)]
    pub login: Login,
    /// Where to write the plan
    #[arg(long, short, value_name = "FILE", default_value = "redeploy.toml")]
    pub output: PathBuf,
    /// The host that takes the machines [default: spread over all; env: GOVC_HOST]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// The datastore that takes them [default: the one with most room; env: GOVC_DATASTORE]
    #[arg(long, value_name = "NAME")]
    pub datastore: Option<String>,
    /// An existing network to put machines on, instead of an isolated one that is made
    #[arg(long, value_name = "NAME")]
    pub network: Option<String>,
    /// What the case is called; stands in every machine's note
    #[arg(long, value_name = "TEXT")]
    pub case: Option<String>,
    /// Start machines when their wave is complete
    #[arg(long)]
    pub power_on: bool,
    /// Replace a plan that is there
    #[arg(long)]
    pub overwrite: bool,
}

/// Arguments of `redeploy apply`.
#[derive(Clone, Debug, clap::Args)]
pub struct ApplyArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// How to reach the server.
    #[command(flatten)]
    pub login: Login,
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
}

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
    /// How to reach the server.
    #[command(flatten)]
    pub login: Login,
    /// Remove without asking
    #[arg(long)]
    pub yes: bool,
    /// Stop machines that run, as if their plug were pulled
    #[arg(long)]
    pub power_off: bool,
}

/// Runs a part of `redeploy`.
///
/// # Errors
/// When nothing can be delivered, or a rule forbids it.
pub fn run(args: &Args, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    match &args.command {
        Command::Plan(args) => make_plan(args, ui),
        Command::Apply(args) => apply(args, ui, stop),
        Command::Status(args) => status(args, ui),
        Command::Undo(args) => take_back(args, ui, stop),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn connect(
    address: Option<&str>,
    planned: Option<(&str, Option<&str>)>,
    login: &Login,
) -> anyhow::Result<Arc<Server>> {
    let usage = |error: AddressError| Usage(error.to_string());
    let from_variable = variable("GOVC_URL")
        .map(|text| Address::from_variable(&text))
        .transpose()
        .map_err(|error| Usage(format!("GOVC_URL: {error}")))?;
    let named = address.map(Address::parse).transpose().map_err(usage)?;
    let (address, mut password) = match (named, from_variable) {
        // A password in GOVC_URL is for that server only.
        (Some(named), Some((other, password))) if named.base() == other.base() => {
            (Address { user: named.user.or(other.user), ..named }, password)
        }
        (Some(named), _) => (named, None),
        (None, Some(found)) => found,
        (None, None) => {
            return Err(Usage("no server; give --server or GOVC_URL".to_owned()).into());
        }
    };
    if let Some(known) = variable("GOVC_PASSWORD") {
        password = Some(known.into());
    }
    let (pin, planned_user) = match planned {
        Some((pin, user)) => (Some(pin).filter(|pin| !pin.is_empty()), user.map(str::to_owned)),
        None => (None, None),
    };
    let trust = trust(login, pin)?;
    let user = login
        .user
        .clone()
        .or_else(|| address.user.clone())
        .or_else(|| variable("GOVC_USERNAME"))
        .or(planned_user);
    let ask = std::io::stdin().is_terminal();
    let credentials =
        Credentials::gather(user, login.password_file.as_deref(), password, ask, &address.host)
            .map_err(|error| {
                // A file that cannot be read is an I/O error, the others are words missing.
                let io = std::error::Error::source(&error).is_some();
                let text = error.to_string();
                if io { anyhow::Error::new(error) } else { Usage(text).into() }
            })?;
    Server::connect(&address, credentials, trust).map_err(outside)
}

fn trust(login: &Login, planned: Option<&str>) -> anyhow::Result<Trust> {
    if let Some(text) = login.thumbprint.as_deref().or(planned.filter(|_| login.ca.is_none())) {
        return Ok(Trust::Pin(
            text.parse()
                .map_err(|e: crate::redeploy::vsphere::ThumbprintError| Usage(e.to_string()))?,
        ));
    }
    let file = login.ca.clone().or_else(|| variable("GOVC_TLS_CA_CERTS").map(PathBuf::from));
    match file {
        Some(file) => Ok(Trust::from_pem_file(&file).map_err(Usage)?),
        None => Ok(Trust::Nothing),
    }
}

/// Certificates and passwords that are wrong are refusals; the rest is the line.
fn outside(error: Error) -> anyhow::Error {
    match &error {
        Error::UnknownCertificate { .. } | Error::WrongCertificate { .. } => {
            Refusal::Rule(error.to_string()).into()
        }
        Error::Fault(_) if error.fault_kind() == Some("InvalidLogin") => {
            Refusal::Rule(error.to_string()).into()
        }
        _ => error.into(),
    }
}

fn make_plan(args: &PlanArgs, ui: &Ui) -> anyhow::Result<Outcome> {
    check_output(&args.output, &args.sources, args.overwrite)?;
    let found = draft(&args.sources)
        .map_err(|(path, error)| anyhow::Error::new(error).context(path.display().to_string()))?;
    for line in &found.left_out {
        ui.warn(line);
    }
    if found.machines.is_empty() {
        return Err(anyhow::anyhow!("no machine was found that could be redeployed"));
    }
    let server = connect(args.server.as_deref(), None, &args.login)?;
    let estate = Estate::read(&server).map_err(outside)?;
    let mut machines = found.machines;
    let host = args.host.clone().or_else(|| variable("GOVC_HOST"));
    let datastore = args.datastore.clone().or_else(|| variable("GOVC_DATASTORE"));
    place(&mut machines, &estate, host.as_deref(), datastore.as_deref()).map_err(Usage)?;
    for machine in &mut machines {
        machine.power_on = args.power_on;
    }
    let thumbprint = match trust(&args.login, None)? {
        Trust::Pin(pin) => Some(pin.to_string()),
        Trust::Nothing | Trust::Authorities(_) => None,
    };
    let isolated = "vmglean-isolated".to_owned();
    let plan = Plan {
        schema: plan::SCHEMA.to_owned(),
        case: args.case.clone(),
        server: ServerPart {
            address: server.address().base(),
            user: Some(server.user().to_owned()),
            thumbprint,
            product: server.about().full_name.clone(),
        },
        network: NetworkPart {
            name: args.network.clone().unwrap_or_else(|| isolated.clone()),
            switch: isolated,
            make_isolated: args.network.is_none(),
        },
        limits: Limits::default(),
        machines,
    };
    let text =
        plan.to_text().map_err(|error| anyhow::anyhow!("the plan cannot be written: {error}"))?;
    let found_flaws = match Plan::parse(&text) {
        Ok(_) => preflight(&server, &plan, &estate, &Told::default()).map_err(outside)?,
        Err(error) => Preflight { problems: vec![error.to_string()], warnings: Vec::new() },
    };
    tell(&found_flaws, ui);
    write_whole(&args.output, text.as_bytes(), args.overwrite)?;
    ui.message(format!(
        "wrote {}: {} machines, {} to send; look at it, then: vmglean redeploy apply {}",
        args.output.display(),
        plan.machines.len(),
        bytesize::ByteSize(plan.machines.iter().map(Machine::bytes).sum()),
        args.output.display()
    ));
    if found_flaws.problems.is_empty() && found.left_out.is_empty() {
        Ok(Outcome::Clean)
    } else {
        Ok(Outcome::Partial)
    }
}

/// Gives each machine a host and a datastore, the least laden first.
fn place(
    machines: &mut [Machine],
    estate: &Estate,
    host: Option<&str>,
    datastore: Option<&str>,
) -> Result<(), String> {
    let hosts: Vec<_> = estate
        .hosts
        .iter()
        .filter(|h| host.is_none_or(|wanted| h.name == wanted))
        .filter(|h| host.is_some() || (h.connected && !h.maintenance))
        .collect();
    if hosts.is_empty() {
        let known: Vec<&str> = estate.hosts.iter().map(|h| h.name.as_str()).take(8).collect();
        return Err(format!(
            "there is no host {:?} to use; known are {}",
            host.unwrap_or("connected and out of maintenance"),
            known.join(", ")
        ));
    }
    let mut laden: BTreeMap<&str, u64> = BTreeMap::new();
    for machine in machines {
        let Some(host) = hosts.iter().min_by_key(|h| laden.get(h.name.as_str()).copied()) else {
            continue;
        };
        let load = laden.entry(&host.name).or_default();
        *load = load.saturating_add(machine.bytes().max(1));
        let stores = host.datastores.iter();
        let stores = stores.filter_map(|mo| estate.datastores.iter().find(|d| d.mo == *mo));
        let store = stores
            .filter(|d| d.accessible && datastore.is_none_or(|wanted| d.name == wanted))
            .max_by_key(|d| d.free_bytes)
            .ok_or_else(|| {
                format!("host {} reaches no datastore {}", host.name, datastore.unwrap_or_default())
            })?;
        machine.host.clone_from(&host.name);
        machine.datastore.clone_from(&store.name);
        let newest = newest_hardware(&host.version);
        if let Some(version) = machine.hardware.version.filter(|version| *version > newest) {
            machine.notes.push(format!(
                "hardware version lowered from {version} to {newest}, the newest that {} knows",
                host.name
            ));
            machine.hardware.version = Some(newest);
        }
    }
    Ok(())
}

fn tell(found: &Preflight, ui: &Ui) {
    for line in &found.warnings {
        ui.warn(line);
    }
    for line in &found.problems {
        ui.warn(format!("problem: {line}"));
    }
}

fn load(path: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let context = format!("cannot read {}", path.display());
        anyhow::Error::new(error).context(context)
    })?;
    Plan::parse(&text).map_err(|error| Usage(format!("{}: {error}", path.display())).into())
}

fn apply(args: &ApplyArgs, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
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

fn step_error(error: StepError) -> anyhow::Error {
    match error {
        StepError::Server(error) => outside(error),
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

/// A journal belongs to one server.
fn same_server(told: &Told, server: &Server) -> anyhow::Result<()> {
    let Some(Step::Open { server: known, instance, .. }) = &told.open else { return Ok(()) };
    let same = match (instance, &server.about().instance_uuid) {
        (Some(known), Some(now)) => known == now,
        _ => *known == server.address().base(),
    };
    if same {
        return Ok(());
    }
    let now = server.address().base();
    Err(Refusal::Rule(format!(
        "the journal is about {known}, not about {now}; name another --journal"
    ))
    .into())
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
            let data = disk.data.display().to_string();
            let verb = if machine.route == Route::Import { "POST" } else { "PUT" };
            writeln!(out, "{name}: {verb} {} ({} bytes)", plain(&data), disk.size_bytes)?;
        }
        match machine.route {
            Route::Import => writeln!(out, "{name}: HttpNfcLeaseComplete")?,
            Route::Create => {
                writeln!(out, "{name}: CreateVM_Task {root}/{}.vmx", plain(machine.folder()))?
            }
            Route::Register => {
                writeln!(out, "{name}: RegisterVM_Task {root}/{}.vmx", plain(machine.folder()))?
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

fn status(args: &StatusArgs, ui: &Ui) -> anyhow::Result<Outcome> {
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

fn take_back(args: &UndoArgs, ui: &Ui, stop: &Interrupt) -> anyhow::Result<Outcome> {
    if !args.journal.exists() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(anyhow::Error::new(missing).context(args.journal.display().to_string()));
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
