//! A machine from a folder with its `.vmx` and disks.

use std::path::{Path, PathBuf};

use vmglean_formats::vmx::{DeviceKind, Encryption, Firmware, Vmx};

use super::{
    Disk, Hardware, Machine, NicPart, Route,
    disk::{is_plain, look},
    source::{open, read_small},
};
use crate::redeploy::vsphere::Controller;

/// Reads a folder's configuration. `Err` says in one line why no machine can be made of it.
pub(super) fn machine(folder: &Path, vmx: &Path) -> Result<Machine, String> {
    let bytes = read_small(folder, vmx, 16 << 20).map_err(|error| error.to_string())?;
    let read = Vmx::parse(&bytes).value;
    let shown = folder.join(vmx);
    let no = |why: String| format!("{}: {why}", shown.display());
    if !matches!(read.encryption, Encryption::None) {
        return Err(no("the machine is encrypted by VMware itself; register it by hand on a host that has its key provider".to_owned()));
    }
    let stem = vmx.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = read.display_name.clone().filter(|name| !name.trim().is_empty()).or(stem);
    let name = name.ok_or_else(|| no("it has no name".to_owned()))?;
    let mut notes = Vec::new();
    let mut disks = Vec::new();
    for device in read.disks() {
        let Some(file) = device.file_name.as_deref() else { continue };
        let found = look(folder, Path::new(file)).map_err(|why| format!("{name}: {why}"))?;
        let (controller, bus, unit) = place(&read, &device.node)
            .ok_or_else(|| no(format!("{} is on a controller that cannot be made", device.node)))?;
        disks.push(found.at(controller, bus, unit));
    }
    if disks.is_empty() {
        let off = read.devices.iter().any(|d| d.kind == DeviceKind::HardDisk && !d.present);
        let why = if off {
            "its disks are switched off, as salvage does with those it leaves where they are; see the README.txt beside it"
        } else {
            "it has no disk"
        };
        return Err(no(why.to_owned()));
    }
    let streams = disks.iter().filter(|disk| disk.is_stream()).count();
    let route = match streams {
        0 => Route::Register,
        n if n == disks.len() => Route::Import,
        _ => {
            return Err(no("some disks are flat and some are streams; make them alike".to_owned()));
        }
    };
    let nvram = read
        .nvram
        .clone()
        .map(PathBuf::from)
        .filter(|path| is_plain(path) && open(folder, path).is_ok());
    if read.nvram.is_some() && nvram.is_none() {
        notes.push("the firmware's variables (.nvram) are missing; a fresh set is made".to_owned());
    }
    if route == Route::Import && nvram.is_some() {
        notes.push("an import does not carry the .nvram; a fresh set is made".to_owned());
    }
    let kept = nvram.filter(|_| route == Route::Register);
    Ok(Machine {
        vmx: Some(vmx.to_path_buf()),
        nvram: kept,
        notes,
        ..of(&read, name, folder, route, disks)
    })
}

/// What a configuration says of a machine, before anything else is known of it.
pub(super) fn of(
    read: &Vmx,
    name: String,
    folder: &Path,
    route: Route,
    disks: Vec<Disk>,
) -> Machine {
    let number = |value: Option<u64>, default: u64| value.unwrap_or(default);
    Machine {
        directory: (route != Route::Import).then(|| directory(&name)),
        name,
        wave: 1,
        power_on: false,
        route,
        host: String::new(),
        datastore: String::new(),
        source: folder.to_path_buf(),
        vmx: None,
        nvram: None,
        manifest: None,
        notes: Vec::new(),
        guessed: Vec::new(),
        hardware: Hardware {
            version: read.hardware_version.and_then(|version| u32::try_from(version).ok()),
            guest_id: guest_id(read.guest_os.as_deref()),
            cpus: u32::try_from(number(read.vcpus, 1)).unwrap_or(1),
            memory_mib: number(read.memory_mib, 1024),
            firmware: match read.firmware {
                Firmware::Bios => "bios",
                Firmware::Efi => "efi",
            }
            .to_owned(),
            secure_boot: read.secure_boot.unwrap_or_default(),
            uuid: read.uuid_bios.as_deref().and_then(plain_uuid),
        },
        disks,
        nics: read
            .nics
            .iter()
            .filter(|nic| nic.present)
            .map(|nic| NicPart {
                kind: nic.virtual_device.clone().unwrap_or_else(|| "e1000".to_owned()),
                network: None,
                mac: nic.address.clone().or_else(|| nic.generated_address.clone()),
                connected: true,
                was: nic.network.clone().or_else(|| nic.portgroup_id.clone()),
            })
            .collect(),
    }
}

/// `scsi0:1` on which controller.
pub(super) fn place(vmx: &Vmx, node: &str) -> Option<(Controller, u32, u32)> {
    let (controller, unit) = node.split_once(':')?;
    let digits = controller.find(|c: char| c.is_ascii_digit())?;
    let (kind, bus) = controller.split_at(digits);
    let word = vmx.dictionary.value(&format!("{controller}.virtualDev")).unwrap_or_default();
    let kind = match (kind, word.to_ascii_lowercase().as_str()) {
        ("scsi", "pvscsi") => Controller::Pvscsi,
        ("scsi", "lsisas1068") => Controller::LsiSas,
        ("scsi", "buslogic") => Controller::BusLogic,
        ("scsi", _) => Controller::LsiLogic,
        ("sata", _) => Controller::Sata,
        ("nvme", _) => Controller::Nvme,
        ("ide", _) => Controller::Ide,
        _ => return None,
    };
    Some((kind, bus.parse().ok()?, unit.parse().ok()?))
}

/// `.vmx` files have their own, shorter words for guests; `windows9srv-64` is
/// `windows9Server64Guest` to the API. Inferred from the two published lists; a word that is not
/// understood becomes `otherGuest64`, and the plan can be changed.
fn guest_id(word: Option<&str>) -> String {
    const UNKNOWN: &str = "otherGuest64";
    let Some(word) = word.map(str::trim).filter(|word| !word.is_empty()) else {
        return UNKNOWN.to_owned();
    };
    if !word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        return UNKNOWN.to_owned();
    }
    if word == "other-64" {
        return UNKNOWN.to_owned();
    }
    if word.ends_with("Guest") || word.ends_with("Guest64") {
        return word.to_owned();
    }
    let (name, wide) = match word.strip_suffix("-64") {
        Some(name) => (name, true),
        None => (word, false),
    };
    let name = name.replace("linux", "Linux").replace("amazonLinux", "amazonlinux");
    let (name, joint) = match name.strip_suffix("srv") {
        // Servers up to 2016 count like the clients they were made with.
        Some(base) if matches!(base, "windows7" | "windows8" | "windows9") => {
            (format!("{base}Server"), "")
        }
        Some(_) => (name, "_"),
        None if name == "longhorn" => ("winLonghorn".to_owned(), ""),
        None if name.ends_with(|c: char| c.is_ascii_digit()) => (name, "_"),
        None => (name, ""),
    };
    if wide { format!("{name}{joint}64Guest") } else { format!("{name}Guest") }
}

/// `56 4d 0a … -…` as `564d0a..-....-....-....-............`.
fn plain_uuid(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    uuid::Uuid::try_parse(&digits).ok().map(|uuid| uuid.hyphenated().to_string())
}

/// A folder name that every datastore takes.
pub(super) fn directory(name: &str) -> String {
    let bad = |c: char| matches!(c, '/' | '\\' | '[' | ']' | ':' | '%' | '"') || c.is_control();
    let clean = name.replace(bad, "_");
    let clean = clean.trim().trim_matches('.').trim();
    if clean.is_empty() { "machine".to_owned() } else { clean.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_words_become_the_names_of_the_api() {
        for (word, name) in [
            ("windows9srv-64", "windows9Server64Guest"),
            ("windows2019srv-64", "windows2019srv_64Guest"),
            ("windows9-64", "windows9_64Guest"),
            ("ubuntu-64", "ubuntu64Guest"),
            ("rhel8-64", "rhel8_64Guest"),
            ("otherlinux-64", "otherLinux64Guest"),
            ("other3xlinux-64", "other3xLinux64Guest"),
            ("other-64", "otherGuest64"),
            ("", "otherGuest64"),
            ("<x>", "otherGuest64"),
        ] {
            assert_eq!(guest_id(Some(word)), name, "{word}");
        }
    }

    #[test]
    fn a_folder_name_holds_nothing_a_path_would_read() {
        assert_eq!(directory("../a/[b]: c"), "_a__b__ c");
        assert_eq!(directory(".."), "machine");
        assert_eq!(
            plain_uuid("56 4d 00 01 02 03 04 05-06 07 08 09 0a 0b 0c 0d").unwrap(),
            "564d0001-0203-0405-0607-08090a0b0c0d"
        );
    }
}
