//! The OVF envelope of a salvaged machine.
//!
//! Source: DMTF DSP0243 1.1, and the envelopes that vSphere writes.

use std::{collections::BTreeMap, fmt::Write as _};

use vmglean_formats::vmx::{Firmware, Nic, Vmx};

/// A disk of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PackedDisk {
    /// Where it hangs: `scsi0:0`.
    pub(super) node: String,
    /// Name of its file.
    pub(super) file: String,
    /// Length of its file.
    pub(super) length_bytes: u64,
    /// Virtual size.
    pub(super) capacity_bytes: u64,
    /// Bytes of the disk that hold data.
    pub(super) populated_bytes: u64,
}

/// Text as XML holds it; what XML 1.0 cannot hold becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

/// vSphere's name of a guest, from the `.vmx` one; `None` where this table has none, since a name
/// that vSphere does not know makes it refuse the whole package.
fn os_type(guest: &str) -> Option<String> {
    let guest = guest.to_ascii_lowercase();
    let (name, wide) = guest.strip_suffix("-64").map_or((guest.as_str(), false), |n| (n, true));
    let stem = match name {
        "other" => return Some(if wide { "otherGuest64" } else { "otherGuest" }.to_owned()),
        "windows7srv" => "windows7Server",
        "windows8srv" => "windows8Server",
        "windows9srv" => "windows9Server",
        "windows2019srv" | "windows2019srvnext" | "windows2022srvnext" | "windows11"
        | "windows12" => {
            let name = name.replace("srvnext", "srvNext");
            return wide.then(|| format!("{name}_64Guest"));
        }
        "otherlinux" => "otherLinux",
        "other24xlinux" => "other24xLinux",
        "other26xlinux" => "other26xLinux",
        "other3xlinux" => "other3xLinux",
        "other4xlinux" => "other4xLinux",
        "other5xlinux" => "other5xLinux",
        "other6xlinux" => "other6xLinux",
        "oraclelinux" => "oracleLinux",
        "vmware-photon" => "vmwarePhoton",
        plain => {
            const KNOWN: [&str; 14] = [
                "windows7",
                "windows8",
                "windows9",
                "ubuntu",
                "debian",
                "centos",
                "rhel",
                "sles",
                "fedora",
                "freebsd",
                "coreos",
                "rockylinux",
                "almalinux",
                "amazonlinux",
            ];
            let family = plain.trim_end_matches(|c: char| c.is_ascii_digit());
            if !KNOWN.contains(&plain) && !KNOWN.contains(&family) {
                return None;
            }
            plain
        }
    };
    Some(match (wide, stem.ends_with(|c: char| c.is_ascii_digit())) {
        (true, true) => format!("{stem}_64Guest"),
        (true, false) => format!("{stem}64Guest"),
        (false, _) => format!("{stem}Guest"),
    })
}

/// CIM's number of a kind of guest, of which vSphere only uses that it is there.
fn cim_kind(guest: &str) -> u32 {
    let wide = guest.ends_with("-64");
    let other = guest.is_empty() || guest.starts_with("other") && !guest.contains("linux");
    match (other || guest.starts_with("win"), wide) {
        (true, true) => 102,
        (true, false) => 1,
        (false, true) => 101,
        (false, false) => 36,
    }
}

/// What a controller is: resource type, and subtype where it has one.
fn controller_kind(vmx: &Vmx, name: &str) -> (u32, Option<&'static str>) {
    if name.starts_with("ide") {
        return (5, None);
    }
    if name.starts_with("sata") {
        return (20, Some("vmware.sata.ahci"));
    }
    if name.starts_with("nvme") {
        return (20, Some("vmware.nvme.controller"));
    }
    let device = vmx.dictionary.value(&format!("{name}.virtualDev")).unwrap_or_default();
    let kind = match device.to_ascii_lowercase().as_str() {
        "pvscsi" => "VirtualSCSI",
        "lsisas1068" => "lsilogicsas",
        "buslogic" => "buslogic",
        _ => "lsilogic",
    };
    (6, Some(kind))
}

fn card_kind(card: &Nic) -> &'static str {
    match card.virtual_device.as_deref().unwrap_or_default().to_ascii_lowercase().as_str() {
        "vmxnet3" => "VmxNet3",
        "vmxnet" | "vmxnet2" => "VmxNet2",
        "e1000e" => "E1000e",
        "vlance" | "flexible" => "PCNet32",
        _ => "E1000",
    }
}

/// The `.nvram`'s id: it stands behind the disks in the list of files.
fn nvram_id(disks: &[PackedDisk]) -> String {
    format!("file{}", disks.len() + 1)
}

fn network(card: &Nic) -> String {
    card.network.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "VM Network".to_owned())
}

/// The text, and `made_of` in a comment at its head, by which a second run knows its own work.
///
/// `id` is the machine's name inside the package; `nvram` the name and length of its file, which is
/// listed and named by an `ExtraConfig` as exports of vCenter do (samples of govmomi's `ovf/fixtures`).
pub(super) fn envelope(
    vmx: &Vmx,
    name: &str,
    id: &str,
    disks: &[PackedDisk],
    nvram: Option<&(String, u64)>,
    made_of: &str,
) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("<!-- vmglean {}, made of {made_of} -->", env!("CARGO_PKG_VERSION")));
    line(
        "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" \
         xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\" \
         xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\" \
         xmlns:vmw=\"http://www.vmware.com/schema/ovf\" \
         xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData\">"
            .to_owned(),
    );
    line("  <References>".to_owned());
    for (number, disk) in disks.iter().enumerate() {
        let (file, size, n) = (escaped(&disk.file), disk.length_bytes, number + 1);
        line(format!("    <File ovf:href=\"{file}\" ovf:id=\"file{n}\" ovf:size=\"{size}\"/>"));
    }
    if let Some((file, size)) = nvram {
        let (file, id) = (escaped(file), nvram_id(disks));
        line(format!("    <File ovf:href=\"{file}\" ovf:id=\"{id}\" ovf:size=\"{size}\"/>"));
    }
    line("  </References>\n  <DiskSection>\n    <Info>Virtual disks</Info>".to_owned());
    for (number, disk) in disks.iter().enumerate() {
        let (capacity, populated, n) = (disk.capacity_bytes, disk.populated_bytes, number + 1);
        line(format!(
            "    <Disk ovf:capacity=\"{capacity}\" ovf:capacityAllocationUnits=\"byte\" \
             ovf:diskId=\"vmdisk{n}\" ovf:fileRef=\"file{n}\" \
             ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\" \
             ovf:populatedSize=\"{populated}\"/>"
        ));
    }
    line("  </DiskSection>\n  <NetworkSection>\n    <Info>Networks</Info>".to_owned());
    let cards: Vec<&Nic> = vmx.nics.iter().filter(|card| card.present).collect();
    let mut networks: Vec<String> = cards.iter().map(|card| network(card)).collect();
    networks.sort();
    networks.dedup();
    for network in &networks {
        line(format!("    <Network ovf:name=\"{}\"/>", escaped(network)));
    }
    line("  </NetworkSection>".to_owned());
    line(format!("  <VirtualSystem ovf:id=\"{id}\">\n    <Info>A virtual machine</Info>"));
    line(format!("    <Name>{}</Name>", escaped(name)));
    let guest = vmx.guest_os.clone().unwrap_or_default().to_ascii_lowercase();
    let os = os_type(&guest).map(|os| format!(" vmw:osType=\"{os}\"")).unwrap_or_default();
    line(format!("    <OperatingSystemSection ovf:id=\"{}\"{os}>", cim_kind(&guest)));
    line("      <Info>The guest</Info>\n    </OperatingSystemSection>".to_owned());
    if let Some(note) = vmx.annotation.as_ref().filter(|note| !note.is_empty()) {
        line(format!(
            "    <AnnotationSection>\n      <Info>Notes</Info>\n      \
             <Annotation>{}</Annotation>\n    </AnnotationSection>",
            escaped(note)
        ));
    }
    out.push_str(&hardware(vmx, id, disks, &cards, nvram.is_some()));
    out.push_str("  </VirtualSystem>\n</Envelope>\n");
    out
}

/// One `<Item>`; fields go out in the order of their names, as the schema asks.
fn item(fields: &[(&str, String)], more: &str) -> String {
    let mut fields: Vec<&(&str, String)> = fields.iter().collect();
    fields.sort();
    let mut out = String::from("      <Item>\n");
    for (name, value) in fields {
        let _ = writeln!(out, "        <rasd:{name}>{}</rasd:{name}>", escaped(value));
    }
    out.push_str(more);
    out.push_str("      </Item>\n");
    out
}

fn hardware(vmx: &Vmx, id: &str, disks: &[PackedDisk], cards: &[&Nic], nvram: bool) -> String {
    let mut out = String::from(
        "    <VirtualHardwareSection>\n      <Info>Virtual hardware</Info>\n      <System>\n",
    );
    let version = vmx.hardware_version.filter(|v| (3..=99).contains(v)).unwrap_or(13);
    let _ = write!(
        out,
        "        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>\n        \
         <vssd:InstanceID>0</vssd:InstanceID>\n        \
         <vssd:VirtualSystemIdentifier>{id}</vssd:VirtualSystemIdentifier>\n        \
         <vssd:VirtualSystemType>vmx-{version:02}</vssd:VirtualSystemType>\n      </System>\n"
    );
    let mut number = 0_u32;
    let mut next = || {
        number += 1;
        ("InstanceID", number.to_string())
    };
    let text = |text: &str| text.to_owned();
    let (cpus, memory) = (vmx.vcpus.unwrap_or(1), vmx.memory_mib.unwrap_or(1024));
    let sockets = vmx.dictionary.value("cpuid.coresPerSocket").and_then(|n| n.parse::<u32>().ok());
    let cores = sockets.map_or(String::new(), |cores| {
        format!("        <vmw:CoresPerSocket ovf:required=\"false\">{cores}</vmw:CoresPerSocket>\n")
    });
    out += &item(
        &[
            ("AllocationUnits", text("hertz * 10^6")),
            ("ElementName", format!("{cpus} virtual CPU(s)")),
            next(),
            ("ResourceType", text("3")),
            ("VirtualQuantity", cpus.to_string()),
        ],
        &cores,
    );
    out += &item(
        &[
            ("AllocationUnits", text("byte * 2^20")),
            ("ElementName", format!("{memory} MiB of memory")),
            next(),
            ("ResourceType", text("4")),
            ("VirtualQuantity", memory.to_string()),
        ],
        "",
    );
    let mut controllers: BTreeMap<&str, String> = BTreeMap::new();
    for disk in disks {
        let controller = disk.node.split(':').next().unwrap_or_default();
        if controllers.contains_key(controller) {
            continue;
        }
        let (kind, sub) = controller_kind(vmx, controller);
        let mut fields = vec![
            ("Address", controller.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned()),
            ("ElementName", format!("Controller {controller}")),
            next(),
            ("ResourceType", kind.to_string()),
        ];
        fields.extend(sub.map(|sub| ("ResourceSubType", text(sub))));
        let id = fields.iter().find(|(name, _)| *name == "InstanceID");
        controllers.insert(controller, id.map(|(_, id)| id.clone()).unwrap_or_default());
        out += &item(&fields, "");
    }
    for (at, disk) in disks.iter().enumerate() {
        let (controller, unit) = disk.node.split_once(':').unwrap_or((&disk.node, "0"));
        let fields = [
            ("AddressOnParent", text(unit)),
            ("ElementName", format!("Hard Disk {}", at + 1)),
            ("HostResource", format!("ovf:/disk/vmdisk{}", at + 1)),
            next(),
            ("Parent", controllers.get(controller).cloned().unwrap_or_default()),
            ("ResourceType", text("17")),
        ];
        out += &item(&fields, "");
    }
    for card in cards {
        let connected = vmx.dictionary.is_true(&format!("ethernet{}.startConnected", card.number));
        let mut fields = vec![
            ("AddressOnParent", (7 + card.number).to_string()),
            ("AutomaticAllocation", connected.unwrap_or(true).to_string()),
            ("Connection", network(card)),
            ("ElementName", format!("Ethernet {}", card.number + 1)),
            next(),
            ("ResourceSubType", text(card_kind(card))),
            ("ResourceType", text("10")),
        ];
        let address = card.address.clone().or_else(|| card.generated_address.clone());
        fields.extend(address.filter(|a| !a.is_empty()).map(|address| ("Address", address)));
        out += &item(&fields, "");
    }
    let mut set = |kind: &str, key: &str, value: &str| {
        let _ = writeln!(
            out,
            "      <vmw:{kind} ovf:required=\"false\" vmw:key=\"{key}\" vmw:value=\"{value}\"/>"
        );
    };
    set("Config", "firmware", if vmx.firmware == Firmware::Efi { "efi" } else { "bios" });
    if vmx.secure_boot == Some(true) {
        set("Config", "bootOptions.efiSecureBootEnabled", "true");
    }
    if nvram {
        set("ExtraConfig", "nvram", &format!("ovf:/file/{}", nvram_id(disks)));
    }
    out.push_str("    </VirtualHardwareSection>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_called_as_vsphere_calls_them_or_not_at_all() {
        for (ours, theirs) in [
            ("ubuntu-64", Some("ubuntu64Guest")),
            ("debian10-64", Some("debian10_64Guest")),
            ("rhel7-64", Some("rhel7_64Guest")),
            ("windows9srv-64", Some("windows9Server64Guest")),
            ("windows2019srv-64", Some("windows2019srv_64Guest")),
            ("windows2019srvNext-64", Some("windows2019srvNext_64Guest")),
            ("windows9-64", Some("windows9_64Guest")),
            ("otherlinux-64", Some("otherLinux64Guest")),
            ("other-64", Some("otherGuest64")),
            ("centos", Some("centosGuest")),
            ("<evil>", None),
            ("", None),
        ] {
            assert_eq!(os_type(ours).as_deref(), theirs, "{ours}");
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let vmx = Vmx::parse(
            b"displayName = \"x\"\nannotation = \"]]> <a> & |22 |01\"\nethernet0.present = \"TRUE\"\n\
              ethernet0.networkName = \"<net>\"\n",
        );
        let text = envelope(&vmx.value, "a<b>\u{1}\"", "srv", &[], None, "h");
        let read = vmglean_formats::ovf::Envelope::parse(text.as_bytes());
        assert_eq!(read.defects, [], "{text}");
        assert_eq!(read.value.systems[0].name.as_deref(), Some("a<b>\u{fffd}\""));
        assert_eq!(read.value.networks, ["<net>"]);
        assert_eq!(read.value.systems[0].annotation.as_deref(), Some("]]> <a> & \" \u{fffd}"));
    }
}
