//! What would go wrong, found before anything is made.

use std::collections::BTreeMap;

use super::{
    estate::{Datastore, Estate, Host},
    journal::{Phase, Told},
    plan::{Machine, Plan, Route},
    reach,
    vsphere::{Error, Server},
};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Nothing is made while one of these stands.
    pub problems: Vec<String>,
    /// Worth knowing.
    pub warnings: Vec<String>,
}

/// Newest hardware version of a host, by its product version. VMware KB 315655.
#[must_use]
pub fn newest_hardware(version: &str) -> u32 {
    let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap_or_default()).collect();
    let at = |i: usize| numbers.get(i).copied().unwrap_or_default();
    match (at(0), at(1), at(2)) {
        (0..=5, _, _) | (6, 0, _) => 11,
        (6, 5, _) => 13,
        (6, _, _) => 14,
        (7, 0, 0) => 17,
        (7, 0, 1) => 18,
        (7, _, _) => 19,
        (8, 0, 0 | 1) => 20,
        (8, _, _) => 21,
        _ => 22,
    }
}

/// Looks at everything that a plan needs. Changes nothing.
///
/// # Errors
/// As the calls say.
pub fn preflight(
    server: &Server,
    plan: &Plan,
    estate: &Estate,
    told: &Told,
) -> Result<Preflight, Error> {
    let mut found = Preflight::default();
    let mut need: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut hosts: BTreeMap<&str, &Host> = BTreeMap::new();
    let mut placed: Vec<(&Machine, &Host)> = Vec::new();
    for machine in &plan.machines {
        let record = told.machines.get(&machine.name);
        if record.is_some_and(|record| record.whole.is_some()) {
            continue;
        }
        let ours = record.and_then(|record| record.token.as_deref());
        let name = &machine.name;
        let Some(host) = estate.host(&machine.host) else {
            let known: Vec<&str> = estate.hosts.iter().map(|h| h.name.as_str()).take(8).collect();
            found.problems.push(format!(
                "{name}: there is no host {:?}; known are {}",
                machine.host,
                known.join(", ")
            ));
            continue;
        };
        hosts.insert(&host.name, host);
        let Some(datastore) = estate.datastore(host, &machine.datastore) else {
            found.problems.push(format!(
                "{name}: host {} reaches no datastore {:?}",
                host.name, machine.datastore
            ));
            continue;
        };
        one(&mut found, machine, host, datastore);
        placed.push((machine, host));
        let begun = record.is_some_and(|record| record.folder.is_some());
        if !begun {
            let sum = need.entry(&datastore.name).or_insert((0, datastore.free_bytes));
            sum.0 = sum.0.saturating_add(machine.bytes());
        }
        clashes(&mut found, machine, estate, ours);
        networks(&mut found, plan, machine, host, estate);
        if machine.route != Route::Import
            && !begun
            && estate.datacenters.contains_key(&host.datacenter)
        {
            let path = format!("[{}] {}", datastore.name, machine.folder());
            let stop = std::sync::atomic::AtomicBool::new(false);
            if server.folder(&datastore.mo, &path, &stop)?.is_some() {
                found.problems.push(format!(
                    "{name}: the folder {path} is there already and is left alone; choose another directory"
                ));
            }
        }
    }
    for (name, (bytes, free)) in need {
        if bytes > free {
            found
                .problems
                .push(format!("datastore {name} has {free} bytes free, the plan needs {bytes}"));
        }
    }
    for host in hosts.values() {
        switches(&mut found, server, plan, host, told)?;
    }
    reach::rights(&mut found, server, plan, estate, &placed)?;
    reach::upload_hosts(&mut found, server, &placed);
    licences(&mut found, server);
    found.problems.dedup();
    Ok(found)
}

fn one(found: &mut Preflight, machine: &Machine, host: &Host, datastore: &Datastore) {
    let name = &machine.name;
    if !host.connected {
        found.problems.push(format!("{name}: host {} is not connected", host.name));
    }
    if host.maintenance {
        found.problems.push(format!("{name}: host {} is in maintenance mode", host.name));
    }
    if let Some(manager) = &host.managed_by {
        found.warnings.push(format!(
            "host {} is managed by the vCenter {manager}; it may refuse to start machines",
            host.name
        ));
    }
    if !datastore.accessible {
        found.problems.push(format!("{name}: datastore {} cannot be reached", datastore.name));
    }
    if datastore.kind.eq_ignore_ascii_case("vsan") && machine.route != Route::Import {
        found.problems.push(format!(
            "{name}: {} is vSAN, which takes no flat files; use streams (vmglean consolidate -O stream)",
            datastore.name
        ));
    }
    let newest = newest_hardware(&host.version);
    if let Some(version) = machine.hardware.version
        && version > newest
    {
        found.problems.push(format!(
            "{name}: hardware version {version} is too new for host {} ({}), which knows {newest}",
            host.name, host.version
        ));
    }
}

fn clashes(found: &mut Preflight, machine: &Machine, estate: &Estate, ours: Option<&str>) {
    let others = estate.machines.iter().filter(|e| e.token.is_none() || e.token.as_deref() != ours);
    for other in others {
        let name = &machine.name;
        if other.name == *name && !own_path(machine, other.vmx_path.as_deref(), ours) {
            found.problems.push(format!("{name}: a machine of that name is there already"));
        }
        if machine.hardware.uuid.is_some()
            && other.uuid == machine.hardware.uuid
            && other.name != *name
        {
            found.problems.push(format!("{name}: machine {:?} has the same uuid", other.name));
        }
        for mac in machine.nics.iter().filter_map(|nic| nic.mac.as_deref()) {
            if other.name != *name && other.macs.contains(&mac.to_ascii_lowercase()) {
                found.problems.push(format!(
                    "{name}: machine {:?} has the same network address {mac}",
                    other.name
                ));
            }
        }
    }
}

/// A machine registered from the folder that the journal says we made.
fn own_path(machine: &Machine, path: Option<&str>, ours: Option<&str>) -> bool {
    ours.is_some()
        && machine.route != Route::Import
        && path.is_some_and(|path| {
            path.starts_with(&format!("[{}] {}/", machine.datastore, machine.folder()))
        })
}

fn networks(found: &mut Preflight, plan: &Plan, machine: &Machine, host: &Host, estate: &Estate) {
    let mut wanted: Vec<&str> = machine
        .nics
        .iter()
        .map(|nic| nic.network.as_deref().unwrap_or(&plan.network.name))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    for network in wanted {
        let made = plan.network.make_isolated && network == plan.network.name;
        if !made && estate.network(host, network).is_none() {
            found
                .problems
                .push(format!("{}: host {} has no network {network:?}", machine.name, host.name));
        }
    }
}

fn switches(
    found: &mut Preflight,
    server: &Server,
    plan: &Plan,
    host: &Host,
    told: &Told,
) -> Result<(), Error> {
    if !plan.network.make_isolated {
        return Ok(());
    }
    let Some(system) = &host.network_system else {
        found.problems.push(format!("host {} lets nobody see its networks", host.name));
        return Ok(());
    };
    let switches = server.switches(system)?;
    let holder = switches.iter().find(|s| s.port_groups.contains(&plan.network.name));
    if let Some(switch) = holder.or_else(|| switches.iter().find(|s| s.name == plan.network.switch))
        && switch.uplinks > 0
    {
        found.problems.push(format!(
            "host {}: the switch {} has {} uplinks, so {} would not be isolated",
            host.name, switch.name, switch.uplinks, plan.network.name
        ));
    }
    let ours = told.networks.iter().any(|(_, phase)| *phase != Phase::Undone);
    if holder.is_some() && !ours {
        found.warnings.push(format!(
            "host {}: network {} is there already, without uplink; it is used as it is",
            host.name, plan.network.name
        ));
    }
    Ok(())
}

/// Free hosts only read over the API; the first write is the proof, this is the hint.
fn licences(found: &mut Preflight, server: &Server) {
    if server.about().is_vcenter {
        return;
    }
    for name in server.licence_names() {
        let lower = name.to_ascii_lowercase();
        if lower.contains("hypervisor") && !lower.contains("enterprise") {
            found.warnings.push(format!(
                "the licence is {name:?}; free licences refuse every change over the API"
            ));
        }
    }
}
