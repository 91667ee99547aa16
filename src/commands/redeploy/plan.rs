//! `vmglean redeploy plan`: what would be made where; nothing is.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    super::{Refusal, Usage, check_output, write_whole},
    contact::{Login, connect, outside, trust, variable},
    recorded::{Recorded, is_record},
};
use crate::{
    outcome::Outcome,
    redeploy::{
        estate::Estate,
        journal::Told,
        plan::{self, Draft, Limits, Machine, NetworkPart, Plan, ServerPart, draft},
        preflight::{Preflight, newest_hardware, preflight},
        vsphere::Trust,
    },
    ui::Ui,
};

/// Arguments of `redeploy plan`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// Folders of machines, folders of such folders, .ovf and .ova files, a record of sweep
    /// (--json or --jsonl), or a disk of which nothing else is left
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// vCenter or ESXi host: a name, host:port or https://host [env: GOVC_URL]
    #[arg(long, value_name = "ADDRESS", help_heading = "Server")]
    pub server: Option<String>,
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
    /// How to reach the server.
    #[command(flatten)]
    pub login: Login,
}

pub(super) fn make_plan(args: &PlanArgs, ui: &Ui) -> anyhow::Result<Outcome> {
    let found = find(args)?;
    if let ([], [why]) = (found.machines.as_slice(), found.left_out.as_slice()) {
        return Err(anyhow::anyhow!("no machine was found that could be redeployed: {why}"));
    }
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
    for machine in plan.machines.iter().filter(|machine| !machine.guessed.is_empty()) {
        ui.warn(format!(
            "{}: values of it are guessed; compare what stands under \"guessed\" in the plan with \
             your records",
            machine.name
        ));
    }
    tell(&found_flaws, ui);
    write_whole(&args.output, text.as_bytes(), args.overwrite)?;
    ui.message(format!(
        "wrote {}: {} machines, {} to send{}; {}, then: vmglean redeploy apply {}",
        args.output.display(),
        plan.machines.len(),
        bytesize::ByteSize(plan.machines.iter().map(Machine::bytes).sum()),
        match found.left_out.len() {
            0 => String::new(),
            n => format!(", {n} left out as said above"),
        },
        if found_flaws.problems.is_empty() { "look at it" } else { "clear the problems first" },
        args.output.display()
    ));
    if found_flaws.problems.is_empty() && found.left_out.is_empty() {
        Ok(Outcome::Clean)
    } else {
        Ok(Outcome::Partial)
    }
}

/// All sources looked at, records of sweeps among them.
fn find(args: &PlanArgs) -> anyhow::Result<Draft> {
    let mut records = Vec::new();
    let mut guarded = Vec::new();
    for source in &args.sources {
        if !is_record(source) {
            guarded.push(source.clone());
            continue;
        }
        let record = Recorded::read(source)?;
        if let (Ok(plan), Ok(record)) = (args.output.canonicalize(), source.canonicalize())
            && plan == record
        {
            let why = format!("{} is the record itself; name another plan", args.output.display());
            return Err(Refusal::Rule(why).into());
        }
        // A record is no evidence, what was swept is.
        guarded.extend(record.sources());
        records.push((source, record));
    }
    check_output(&args.output, &guarded, args.overwrite)?;
    let fail = |(path, error): (PathBuf, std::io::Error)| {
        anyhow::Error::new(error).context(path.display().to_string())
    };
    let mut found = Draft::default();
    for source in &args.sources {
        match records.iter().find(|(path, _)| *path == source) {
            Some((_, record)) => found.join(record.draft().map_err(fail)?),
            None => found.join(draft(std::slice::from_ref(source)).map_err(fail)?),
        }
    }
    found.tell_names_apart();
    Ok(found)
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
