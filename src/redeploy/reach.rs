//! What a plan needs of us and of the way: privileges, and hosts that take imports themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{TcpStream, ToSocketAddrs as _},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use super::{
    estate::{Estate, Host},
    plan::{Machine, Plan, Route},
    preflight::Preflight,
    vsphere::{Error, MoRef, Server},
};

/// Hosts are asked side by side, and no longer than this.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where every host takes uploads.
const HTTPS: u16 = 443;

/// Names the privileges that `machines` need and we lack.
pub(super) fn rights(
    found: &mut Preflight,
    server: &Server,
    plan: &Plan,
    estate: &Estate,
    machines: &[(&Machine, &Host)],
) -> Result<(), Error> {
    let mut wanted: BTreeMap<MoRef, (String, BTreeSet<&str>)> = BTreeMap::new();
    let mut want = |mo: &MoRef, name: String, privileges: &[&'static str]| {
        wanted.entry(mo.clone()).or_insert((name, BTreeSet::new())).1.extend(privileges);
    };
    for (machine, host) in machines {
        if let Some(store) = estate.datastore(host, &machine.datastore) {
            let name = format!("datastore {}", store.name);
            want(&store.mo, name, &["Datastore.AllocateSpace", "Datastore.Browse"]);
            if machine.route != Route::Import {
                want(&store.mo, String::new(), &["Datastore.FileManagement"]);
            }
        }
        let pool = format!("the pool of host {}", host.name);
        want(&host.pool, pool, &["Resource.AssignVMToPool"]);
        if machine.route == Route::Import {
            want(&host.pool, String::new(), &["VApp.Import"]);
        }
        if plan.network.make_isolated {
            want(&host.mo, format!("host {}", host.name), &["Host.Config.Network"]);
        }
        if let Some(datacenter) = estate.datacenters.get(&host.datacenter) {
            let name = format!("the machines of {}", datacenter.path);
            let made = match machine.route {
                Route::Register => "VirtualMachine.Inventory.Register",
                Route::Create | Route::Import => "VirtualMachine.Inventory.Create",
            };
            want(&datacenter.vm_folder, name, &[made]);
            if machine.power_on {
                let start = ["VirtualMachine.Interact.PowerOn"];
                want(&datacenter.vm_folder, String::new(), &start);
            }
        }
    }
    for (mo, (name, privileges)) in wanted {
        let privileges: Vec<&str> = privileges.into_iter().collect();
        let lacking = server.lacking(&mo, &privileges)?;
        if !lacking.is_empty() {
            let user = server.user();
            found.problems.push(format!("{user} lacks {} on {name}", lacking.join(", ")));
        }
    }
    Ok(())
}

/// A vCenter has imports sent to the host itself, which must be reachable from here.
pub(super) fn upload_hosts(found: &mut Preflight, server: &Server, machines: &[(&Machine, &Host)]) {
    if !server.about().is_vcenter {
        return;
    }
    let imports = machines.iter().filter(|(machine, _)| machine.route == Route::Import);
    let names: BTreeSet<String> = imports.map(|(_, host)| host.name.clone()).collect();
    let (tell, told) = channel();
    for name in names.clone() {
        let tell = tell.clone();
        // Left behind where a name is looked up for longer than anybody waits.
        thread::spawn(move || {
            let reached = reach(&name);
            let _nobody_waits = tell.send((name, reached));
        });
    }
    let begun = Instant::now();
    let mut silent = names;
    while !silent.is_empty() {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        let Ok((name, reached)) = told.recv_timeout(left) else { break };
        if silent.remove(&name)
            && let Err(why) = reached
        {
            unreachable(found, &name, &why);
        }
    }
    for name in silent {
        unreachable(found, &name, "no answer");
    }
}

fn reach(name: &str) -> Result<(), String> {
    let mut last = "its name leads nowhere".to_owned();
    for address in (name, HTTPS).to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Not sure enough to stop: the address of an upload is told by the lease alone.
fn unreachable(found: &mut Preflight, name: &str, why: &str) {
    found.warnings.push(format!(
        "imports go straight to host {name}, and {name}:{HTTPS} cannot be reached from here: {why}; \
         open the way, or send flat files, which go through the vCenter"
    ));
}
