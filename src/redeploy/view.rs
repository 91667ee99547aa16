//! A machine's configuration as a live server shows it, written as the text of a `.vmx`.

use std::collections::BTreeMap;

use vmglean_formats::dict::quote;

use super::vsphere::{Error, MoRef, Node, Object, Server};

/// A configuration read off a server.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct View {
    /// The machine's name.
    pub name: String,
    /// The server's id for it.
    pub object: MoRef,
    /// Where its own `.vmx` lies, `[datastore] folder/name.vmx`.
    pub vmx_path: Option<String>,
    /// The text.
    #[serde(skip)]
    pub text: String,
    /// What the server does not show, or what has no place in a `.vmx`.
    pub notes: Vec<String>,
}

const PATHS: [&str; 15] = [
    "name",
    "config.version",
    "config.uuid",
    "config.instanceUuid",
    "config.guestId",
    "config.annotation",
    "config.firmware",
    "config.bootOptions",
    "config.hardware.numCPU",
    "config.hardware.numCoresPerSocket",
    "config.hardware.memoryMB",
    "config.hardware.device",
    "config.extraConfig",
    "config.files.vmPathName",
    "config.template",
];

/// The configurations of all machines of a server. Nothing there is changed.
///
/// # Errors
/// As the calls say.
pub fn views(server: &Server) -> Result<Vec<View>, Error> {
    Ok(server.list("VirtualMachine", &PATHS)?.iter().map(view).collect())
}

#[derive(Default)]
struct Text {
    keys: BTreeMap<String, (String, String)>,
    notes: Vec<String>,
}

impl Text {
    fn put(&mut self, key: &str, value: &str) {
        self.keys.insert(key.to_ascii_lowercase(), (key.to_owned(), value.to_owned()));
    }

    fn maybe(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }
}

fn view(object: &Object) -> View {
    let p = &object.properties;
    let name = super::estate::name_of(object);
    let list = |path| p.get(path).map(|node| node.children.as_slice()).unwrap_or_default();
    let mut text = Text::default();
    // Keys that the server keeps as they stood come first; what it shows of the hardware is newer.
    for option in list("config.extraConfig") {
        if let (Some(key), Some(value)) = (option.text_at(&["key"]), option.text_at(&["value"])) {
            text.put(key, value);
        }
    }
    text.put("config.version", "8");
    text.put("displayName", &name);
    text.maybe("virtualHW.version", p.text("config.version").and_then(|v| v.strip_prefix("vmx-")));
    text.maybe("annotation", p.text("config.annotation"));
    text.maybe("guestOS", p.text("config.guestId").map(guest_os).as_deref());
    text.maybe("uuid.bios", p.text("config.uuid").and_then(spaced).as_deref());
    text.maybe("vc.uuid", p.text("config.instanceUuid").and_then(spaced).as_deref());
    text.maybe("numvcpus", p.text("config.hardware.numCPU"));
    text.maybe("cpuid.coresPerSocket", p.text("config.hardware.numCoresPerSocket"));
    text.maybe("memSize", p.text("config.hardware.memoryMB"));
    text.maybe("firmware", p.text("config.firmware"));
    let secure = p.get("config.bootOptions").and_then(|b| b.text_at(&["efiSecureBootEnabled"]));
    if secure == Some("true") {
        text.put("uefi.secureBoot.enabled", "TRUE");
    }
    let vmx_path = p.text("config.files.vmPathName").map(str::to_owned);
    let folder = vmx_path.as_deref().and_then(|path| path.rsplit_once('/')).map(|(dir, _)| dir);
    let devices = list("config.hardware.device");
    if devices.is_empty() {
        text.notes.push("the server shows no hardware of it".to_owned());
    }
    let mut buses: BTreeMap<i64, String> = BTreeMap::new();
    for device in devices {
        if let Some((word, kind)) = controller(device) {
            let bus: i64 = device.number_at(&["busNumber"]).unwrap_or_default();
            let prefix = format!("{word}{bus}");
            if word != "ide" {
                text.put(&format!("{prefix}.present"), "TRUE");
            }
            text.maybe(&format!("{prefix}.virtualDev"), kind);
            let sharing = device.text_at(&["sharedBus"]).and_then(|s| s.strip_suffix("Sharing"));
            let sharing = sharing.filter(|sharing| matches!(*sharing, "virtual" | "physical"));
            text.maybe(&format!("{prefix}.sharedBus"), sharing);
            buses.extend(device.number_at(&["key"]).map(|key: i64| (key, prefix)));
        }
    }
    let mut cards = Vec::new();
    for device in devices {
        match device.kind.as_deref() {
            Some("VirtualDisk") => disk(&mut text, device, &buses, folder),
            Some("VirtualCdrom") => cdrom(&mut text, device, &buses, folder),
            Some("VirtualTPM") => {
                text.notes.push("it has a TPM, whose secrets the server does not show".to_owned());
            }
            _ if device.child("addressType").is_some() => cards.push(device),
            _ => {}
        }
    }
    // Those that have numbers keep them; the others take what is free.
    cards.sort_by_key(|device| card_number(device).is_none());
    for device in cards {
        card(&mut text, device);
    }
    if p.is_true("config.template") {
        text.notes.push("it is a template".to_owned());
    }
    let mut lines = vec![".encoding = \"UTF-8\"".to_owned()];
    text.keys.remove(".encoding");
    lines.extend(text.keys.values().map(|(key, value)| format!("{key} = {}", quote(value))));
    lines.push(String::new());
    let text_whole = lines.join("\n");
    View { name, object: object.mo.clone(), vmx_path, text: text_whole, notes: text.notes }
}

fn controller(device: &Node) -> Option<(&'static str, Option<&'static str>)> {
    Some(match device.kind.as_deref()? {
        "VirtualLsiLogicController" => ("scsi", Some("lsilogic")),
        "VirtualLsiLogicSASController" => ("scsi", Some("lsisas1068")),
        "ParaVirtualSCSIController" => ("scsi", Some("pvscsi")),
        "VirtualBusLogicController" => ("scsi", Some("buslogic")),
        "VirtualAHCIController" | "VirtualSATAController" => ("sata", None),
        "VirtualNVMEController" => ("nvme", None),
        "VirtualIDEController" => ("ide", None),
        _ => return None,
    })
}

/// Where a device hangs, `scsi0:1`.
fn place(text: &mut Text, device: &Node, buses: &BTreeMap<i64, String>) -> Option<String> {
    let bus = device.number_at::<i64>(&["controllerKey"]).and_then(|key| buses.get(&key));
    let unit: Option<i64> = device.number_at(&["unitNumber"]);
    if let (Some(bus), Some(unit)) = (bus, unit) {
        return Some(format!("{bus}:{unit}"));
    }
    let label = device.text_at(&["deviceInfo", "label"]).unwrap_or("a device");
    text.notes.push(format!("{label}: the server does not show where it hangs"));
    None
}

/// A name as a `.vmx` in `folder` writes it.
fn file(path: &str, folder: Option<&str>) -> String {
    if let Some(rest) = folder.and_then(|folder| path.strip_prefix(folder)?.strip_prefix('/')) {
        return rest.to_owned();
    }
    match path.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((store, rest)) => format!("/vmfs/volumes/{store}/{rest}"),
        None => path.to_owned(),
    }
}

fn disk(text: &mut Text, device: &Node, buses: &BTreeMap<i64, String>, folder: Option<&str>) {
    let Some(prefix) = place(text, device, buses) else { return };
    text.put(&format!("{prefix}.present"), "TRUE");
    let kind = if prefix.starts_with("scsi") { "scsi-hardDisk" } else { "disk" };
    text.put(&format!("{prefix}.deviceType"), kind);
    match device.text_at(&["backing", "fileName"]) {
        Some(path) => text.put(&format!("{prefix}.fileName"), &file(path, folder)),
        None => text.notes.push(format!("{prefix}: the server shows no file of the disk")),
    }
    let mode = device.text_at(&["backing", "diskMode"]).map(|mode| match mode {
        "independent_persistent" => "independent-persistent",
        "independent_nonpersistent" => "independent-nonpersistent",
        other => other,
    });
    text.maybe(&format!("{prefix}.mode"), mode.filter(|mode| *mode != "persistent"));
}

fn cdrom(text: &mut Text, device: &Node, buses: &BTreeMap<i64, String>, folder: Option<&str>) {
    let Some(prefix) = place(text, device, buses) else { return };
    text.put(&format!("{prefix}.present"), "TRUE");
    match device.text_at(&["backing", "fileName"]).filter(|path| !path.is_empty()) {
        Some(path) => {
            text.put(&format!("{prefix}.deviceType"), "cdrom-image");
            text.put(&format!("{prefix}.fileName"), &file(path, folder));
        }
        None => text.put(&format!("{prefix}.deviceType"), "atapi-cdrom"),
    }
    text.put(&format!("{prefix}.startConnected"), "FALSE");
}

/// The server counts cards from 4000 on, and the number is the one of the `.vmx`.
fn card_number(device: &Node) -> Option<i64> {
    let number = device.number_at::<i64>(&["key"])?.checked_sub(4000)?;
    (0..10).contains(&number).then_some(number)
}

fn card(text: &mut Text, device: &Node) {
    let free = |number: &i64| !text.keys.contains_key(&format!("ethernet{number}.present"));
    let (known, next) = (card_number(device).filter(free), (0..10).find(free));
    let Some(number) = known.or(next) else {
        text.notes.push("it has more network cards than a configuration can have".to_owned());
        return;
    };
    let prefix = format!("ethernet{number}");
    if known.is_none() {
        let label = device.text_at(&["deviceInfo", "label"]).unwrap_or("a network card");
        text.notes.push(format!("{label}: its number is not told; it is written as {prefix}"));
    }
    text.put(&format!("{prefix}.present"), "TRUE");
    let kind = match device.kind.as_deref() {
        Some("VirtualVmxnet3") => "vmxnet3",
        Some("VirtualVmxnet2") => "vmxnet2",
        Some("VirtualE1000e") => "e1000e",
        Some("VirtualPCNet32") => "vlance",
        _ => "e1000",
    };
    text.put(&format!("{prefix}.virtualDev"), kind);
    text.maybe(&format!("{prefix}.networkName"), device.text_at(&["backing", "deviceName"]));
    let port = |name: &str| device.text_at(&["backing", "port", name]);
    text.maybe(&format!("{prefix}.dvs.switchId"), port("switchUuid").and_then(spaced).as_deref());
    text.maybe(&format!("{prefix}.dvs.portgroupId"), port("portgroupKey"));
    let address = device.text_at(&["macAddress"]);
    let (word, key) = match device.text_at(&["addressType"]).map(str::to_ascii_lowercase).as_deref()
    {
        Some("manual") => ("static", "address"),
        Some("assigned") => ("vpx", "generatedAddress"),
        _ => ("generated", "generatedAddress"),
    };
    text.put(&format!("{prefix}.addressType"), word);
    text.maybe(&format!("{prefix}.{key}"), address);
    let plugged = device.text_at(&["connectable", "startConnected"]);
    if plugged == Some("false") {
        text.put(&format!("{prefix}.startConnected"), "FALSE");
    }
}

/// The word of a `.vmx` for a guest that the API calls by its id.
fn guest_os(id: &str) -> String {
    if id == "otherGuest64" {
        return "other-64".to_owned();
    }
    let (name, wide) = match id.strip_suffix("64Guest") {
        Some(name) => (name, true),
        None => (id.strip_suffix("Guest").unwrap_or(id), false),
    };
    let name = match name.trim_end_matches('_') {
        "winLonghorn" => "longhorn".to_owned(),
        name => match name.strip_suffix("Server") {
            Some(base) => format!("{base}srv"),
            None => name.to_ascii_lowercase(),
        },
    };
    if wide { format!("{name}-64") } else { name }
}

/// `564d…` as a `.vmx` writes it: bytes with blanks, a dash in the middle.
fn spaced(uuid: &str) -> Option<String> {
    let digits: Vec<char> = uuid.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    if digits.len() != 32 || !digits.iter().all(char::is_ascii_hexdigit) {
        return None;
    }
    let bytes: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
    let (first, second) = bytes.split_at_checked(8)?;
    Some(format!("{}-{}", first.join(" "), second.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_and_ids_are_written_as_configurations_have_them() {
        for (id, word) in [
            ("ubuntu64Guest", "ubuntu-64"),
            ("windows9Server64Guest", "windows9srv-64"),
            ("winLonghorn64Guest", "longhorn-64"),
            ("other3xLinux64Guest", "other3xlinux-64"),
            ("centos7_64Guest", "centos7-64"),
            ("otherGuest", "other"),
            ("otherGuest64", "other-64"),
        ] {
            assert_eq!(guest_os(id), word);
        }
        let spaced = spaced("564d0f05-1234-5678-9abc-def012345678").unwrap();
        assert_eq!(spaced, "56 4d 0f 05 12 34 56 78-9a bc de f0 12 34 56 78");
        assert_eq!(super::spaced("nonsense"), None);
        assert_eq!(file("[a] b/c.vmdk", Some("[a] b")), "c.vmdk");
        assert_eq!(file("[a] d/c.vmdk", Some("[a] b")), "/vmfs/volumes/a/d/c.vmdk");
    }
}
