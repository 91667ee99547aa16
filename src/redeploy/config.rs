//! The configuration text that is registered: the machine's own, with what the plan changes.

use std::collections::{BTreeMap, BTreeSet};

use vmglean_formats::{
    dict::{Dictionary, is_secret_key, quote},
    vmx::Vmx,
};

use super::{
    estate::TOKEN_KEY,
    plan::{Machine, Plan},
};

/// The note on a machine.
#[must_use]
pub fn annotation(plan: &Plan, machine: &Machine, own: Option<&str>) -> String {
    let mut lines = Vec::new();
    lines.extend(own.filter(|own| !own.trim().is_empty()).map(str::to_owned));
    lines.push(format!("Redeployed by vmglean {}", env!("CARGO_PKG_VERSION")));
    lines.extend(plan.case.as_ref().map(|case| format!("Case: {case}")));
    lines.push(format!("Source: {}", machine.source.display()));
    lines.extend(machine.manifest.as_ref().map(|manifest| format!("Manifest: {manifest}")));
    lines.push(format!("Plan: {}", machine.digest()));
    lines.join("\n")
}

/// The `.vmx` text for a machine. Every other key stays as it was, secrets too, but for locks and
/// addresses of the old host.
#[must_use]
pub fn vmx_text(plan: &Plan, machine: &Machine, own: &[u8], token: &str) -> String {
    let read = Vmx::parse(own).value;
    let mut set: BTreeMap<String, String> = BTreeMap::new();
    let mut put = |key: &str, value: &str| set.insert(key.to_owned(), value.to_owned());
    put(".encoding", "UTF-8");
    put("displayName", &machine.name);
    put("memsize", &machine.hardware.memory_mib.to_string());
    put("numvcpus", &machine.hardware.cpus.to_string());
    put("firmware", &machine.hardware.firmware);
    if let Some(version) = machine.hardware.version {
        put("virtualHW.version", &version.to_string());
    }
    put("annotation", &annotation(plan, machine, read.annotation.as_deref()));
    // Else the first start asks whether the machine was moved or copied, and waits.
    put("uuid.action", "keep");
    put(TOKEN_KEY, token);
    if let Some(nvram) = &machine.nvram {
        put("nvram", &nvram.to_string_lossy());
    }
    let mut gone: BTreeSet<String> = BTreeSet::new();
    let mut planned = machine.nics.iter();
    for nic in read.nics.iter().filter(|nic| nic.present) {
        let prefix = format!("ethernet{}", nic.number);
        let Some(wanted) = planned.next() else {
            put(&format!("{prefix}.present"), "FALSE");
            continue;
        };
        let network = wanted.network.as_deref().unwrap_or(&plan.network.name);
        put(&format!("{prefix}.networkName"), network);
        put(&format!("{prefix}.startConnected"), if wanted.connected { "TRUE" } else { "FALSE" });
        for old in [
            "dvs.switchId",
            "dvs.portId",
            "dvs.portgroupId",
            "dvs.connectionId",
            "opaqueNetwork.id",
            "opaqueNetwork.type",
            "externalId",
        ] {
            gone.insert(format!("{prefix}.{old}").to_ascii_lowercase());
        }
    }
    // A swap file and a suspend state of the old host lead nowhere.
    for key in
        ["sched.swap.derivedname", "checkpoint.vmstate", "migrate.hostlog", "extendedconfigfile"]
    {
        gone.insert(key.to_owned());
    }
    write(&read.dictionary, &set, &gone)
}

fn write(own: &Dictionary, set: &BTreeMap<String, String>, gone: &BTreeSet<String>) -> String {
    let lower: BTreeMap<String, (&String, &String)> =
        set.iter().map(|(key, value)| (key.to_ascii_lowercase(), (key, value))).collect();
    let mut done = BTreeSet::new();
    let mut lines = Vec::new();
    for (key, entry) in own.effective() {
        let key = key.to_ascii_lowercase();
        if gone.contains(&key) {
            continue;
        }
        match lower.get(&key) {
            Some((name, value)) => {
                lines.push(format!("{name} = {}", quote(value)));
                done.insert(key);
            }
            None => lines.push(format!("{} = {}", entry.key, quote(&entry.value))),
        }
    }
    for (key, (name, value)) in &lower {
        if !done.contains(key) {
            lines.push(format!("{name} = {}", quote(value)));
        }
    }
    // The charset must be known before anything that needs it.
    lines.sort_by_key(|line| !line.starts_with(".encoding"));
    lines.push(String::new());
    lines.join("\n")
}

/// Keys that `create` and `import` carry over: the places of devices and the guest's own settings.
#[must_use]
pub fn extra(own: Option<&[u8]>, token: &str) -> Vec<(String, String)> {
    let mut kept = vec![(TOKEN_KEY.to_owned(), token.to_owned())];
    let Some(own) = own else { return kept };
    let read = Vmx::parse(own).value;
    for (key, entry) in read.dictionary.effective() {
        let lower = key.to_ascii_lowercase();
        let useful = lower.ends_with(".pcislotnumber")
            || lower.starts_with("guestinfo.")
            || lower.starts_with("disk.enableuuid");
        if useful && !is_secret_key(key) {
            kept.push((entry.key.clone(), entry.value.clone()));
        }
    }
    kept
}
