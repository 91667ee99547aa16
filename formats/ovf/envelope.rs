//! The XML envelope: files, disks, networks, machines.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, WITHHELD, is_secret_key, shorten},
    units::{ByteOffset, Bytes},
    xml::{self, Element},
};

/// One `<File>` of `<References>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OvfFile {
    /// `ovf:id`.
    pub id: String,
    /// `ovf:href`, as written; may point anywhere.
    pub href: String,
    /// `ovf:size`.
    pub size: Option<Bytes>,
    /// `ovf:compression`: `gzip`.
    pub compression: Option<String>,
    /// `ovf:chunkSize`: the file comes in parts `href.000000000`, …
    pub chunk_size: Option<Bytes>,
    /// Where its tag begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

/// One `<Disk>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OvfDisk {
    /// `ovf:diskId`.
    pub id: String,
    /// `ovf:fileRef`: id of its file; an empty disk has none.
    pub file_ref: Option<String>,
    /// `ovf:parentRef`: id of the disk this one is a delta of.
    pub parent_ref: Option<String>,
    /// `ovf:capacity` times `ovf:capacityAllocationUnits`, a property resolved to its default.
    pub capacity: Option<Bytes>,
    /// `ovf:populatedSize`.
    pub populated: Option<Bytes>,
    /// `ovf:format`.
    pub format: Option<String>,
    /// Where its tag begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

/// One hardware `<Item>`; fields as DMTF names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OvfItem {
    /// `InstanceID`.
    pub instance_id: Option<String>,
    /// `ResourceType`: 3 processor, 4 memory, 5 IDE, 6 SCSI, 10 network, 14 floppy, 15 CD,
    /// 17 disk, 20 other storage.
    pub resource_type: Option<u64>,
    /// `ResourceSubType`: `lsilogic`, `E1000`, `vmware.nvme.controller`.
    pub resource_sub_type: Option<String>,
    /// `ElementName`.
    pub element_name: Option<String>,
    /// `Parent`: instance id of the controller.
    pub parent: Option<String>,
    /// `Address`: controller number.
    pub address: Option<String>,
    /// `AddressOnParent`: unit number.
    pub address_on_parent: Option<String>,
    /// `HostResource`: `ovf:/disk/vmdisk1`.
    pub host_resource: Option<String>,
    /// `Connection`: network name.
    pub connection: Option<String>,
    /// `VirtualQuantity`.
    pub quantity: Option<u64>,
    /// `AllocationUnits`.
    pub allocation_units: Option<String>,
}

/// One `<Property>` of a `<ProductSection>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OvfProperty {
    /// `ovf:key`.
    pub key: String,
    /// `ovf:value`; withheld where the key or `ovf:password` tells a secret.
    pub value: Option<String>,
}

/// One `<VirtualSystem>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OvfSystem {
    /// `ovf:id`.
    pub id: Option<String>,
    /// `<Name>`.
    pub name: Option<String>,
    /// `vmw:osType` of `<OperatingSystemSection>`.
    pub os_type: Option<String>,
    /// `VirtualSystemType`: `vmx-13`.
    pub hardware_version: Option<String>,
    /// `<Product>` of the first product section.
    pub product: Option<String>,
    /// `<Annotation>`.
    pub annotation: Option<String>,
    /// `vmw:Config firmware`.
    pub firmware: Option<String>,
    /// Hardware, in order.
    pub items: Vec<OvfItem>,
    /// Properties of all product sections.
    pub properties: Vec<OvfProperty>,
}

/// An envelope as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Envelope {
    /// `<References>`.
    pub files: Vec<OvfFile>,
    /// `<DiskSection>`.
    pub disks: Vec<OvfDisk>,
    /// `<NetworkSection>`.
    pub networks: Vec<String>,
    /// The machines.
    pub systems: Vec<OvfSystem>,
}

impl Envelope {
    /// Reads an envelope. Whatever the damage, there is a value, perhaps an empty one.
    ///
    /// Defects: XML that is none, ids given twice, references to nothing, disks that are their
    /// own parents, capacities that are no sizes, and an envelope without any machine.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let mut defects = DefectList::new("Envelope");
        let mut value = Self::default();
        if let Some(root) = xml::parse(bytes, "Envelope", &mut defects) {
            value = Self::of(&root, &mut defects);
            value.check(&mut defects);
        }
        Checked { value, defects: defects.finish() }
    }

    fn of(root: &Element, defects: &mut DefectList) -> Self {
        let systems: Vec<&Element> = root.descendants("VirtualSystem");
        if systems.is_empty() {
            let what = "<VirtualSystem>".to_owned();
            defects.add_at("Envelope", root.at, DefectKind::Missing { what });
        }
        let defaults = property_defaults(root);
        let files =
            root.child("References").into_iter().flat_map(|list| list.children_named("File"));
        let disks =
            root.child("DiskSection").into_iter().flat_map(|list| list.children_named("Disk"));
        let networks = root
            .child("NetworkSection")
            .into_iter()
            .flat_map(|list| list.children_named("Network"));
        Self {
            files: files.map(|file| file_of(file, defects)).collect(),
            disks: disks.map(|disk| disk_of(disk, &defaults, defects)).collect(),
            networks: networks.filter_map(|net| net.attribute("name").map(str::to_owned)).collect(),
            systems: systems.into_iter().map(system_of).collect(),
        }
    }

    fn check(&self, defects: &mut DefectList) {
        let mut ids = BTreeSet::new();
        let named = self.files.iter().map(|file| ("File", &file.id, file.at));
        for (kind, id, at) in named.chain(self.disks.iter().map(|disk| ("Disk", &disk.id, disk.at)))
        {
            if !ids.insert((kind, id)) {
                let expected = "an id of its own".to_owned();
                let found = format!("{:?}, which another {kind} has", shorten(id));
                defects.add_at("id", at, DefectKind::Mismatch { expected, found });
            }
        }
        for disk in &self.disks {
            let lost = |wanted: &Option<String>, kind| {
                let wanted = wanted.as_ref()?;
                (!ids.contains(&(kind, wanted))).then(|| format!("{kind} {:?}", shorten(wanted)))
            };
            if let Some(what) = lost(&disk.file_ref, "File") {
                defects.add_at("fileRef", disk.at, DefectKind::Missing { what });
            }
            if let Some(what) = lost(&disk.parent_ref, "Disk") {
                defects.add_at("parentRef", disk.at, DefectKind::Missing { what });
            }
        }
        self.check_parents(defects);
    }

    fn check_parents(&self, defects: &mut DefectList) {
        let by_id: BTreeMap<&str, &OvfDisk> =
            self.disks.iter().map(|disk| (disk.id.as_str(), disk)).collect();
        let mut sound = BTreeSet::new();
        for disk in &self.disks {
            let mut path = BTreeSet::new();
            let mut next = Some(disk.id.as_str());
            while let Some(id) = next.filter(|id| !sound.contains(id)) {
                if !path.insert(id) {
                    let expected = "a chain".to_owned();
                    let found = format!("a circle through {:?}", shorten(id));
                    defects.add_at("parentRef", disk.at, DefectKind::Mismatch { expected, found });
                    break;
                }
                next = by_id.get(id).and_then(|disk| disk.parent_ref.as_deref());
            }
            sound.append(&mut path);
        }
    }

    /// The file of a disk.
    #[must_use]
    pub fn file_of(&self, disk: &OvfDisk) -> Option<&OvfFile> {
        let wanted = disk.file_ref.as_deref()?;
        self.files.iter().find(|file| file.id == wanted)
    }
}

fn size(element: &Element, name: &'static str, defects: &mut DefectList) -> Option<Bytes> {
    let text = element.attribute(name)?;
    let found = text.trim().parse().ok().map(Bytes);
    if found.is_none() {
        not_a_number(name, element, text, defects);
    }
    found
}

fn not_a_number(field: &'static str, element: &Element, text: &str, defects: &mut DefectList) {
    let expected = "a size".to_owned();
    let found = format!("{:?}", shorten(text));
    defects.add_at(field, element.at, DefectKind::Mismatch { expected, found });
}

fn required(element: &Element, name: &'static str, defects: &mut DefectList) -> String {
    element.attribute(name).map_or_else(
        || {
            let what = format!("{name} of <{}>", element.name);
            defects.add_at("attribute", element.at, DefectKind::Missing { what });
            String::new()
        },
        str::to_owned,
    )
}

fn file_of(file: &Element, defects: &mut DefectList) -> OvfFile {
    OvfFile {
        id: required(file, "id", defects),
        href: required(file, "href", defects),
        size: size(file, "size", defects),
        compression: file.attribute("compression").map(str::to_owned),
        chunk_size: size(file, "chunkSize", defects),
        at: file.at,
    }
}

fn disk_of(disk: &Element, defaults: &BTreeMap<&str, &str>, defects: &mut DefectList) -> OvfDisk {
    let text = |name: &str| disk.attribute(name).map(str::to_owned);
    let written = required(disk, "capacity", defects);
    let property = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let number = property.map_or(Some(written.as_str()), |key| defaults.get(key).copied());
    let units = disk.attribute("capacityAllocationUnits");
    let capacity = number.and_then(|number| capacity_bytes(number, units));
    if capacity.is_none() && !written.is_empty() {
        not_a_number("capacity", disk, &written, defects);
    }
    OvfDisk {
        id: required(disk, "diskId", defects),
        file_ref: text("fileRef"),
        parent_ref: text("parentRef"),
        capacity,
        populated: size(disk, "populatedSize", defects),
        format: text("format"),
        at: disk.at,
    }
}

/// `number` of `units` in bytes; `units` as DMTF programmatic units (`byte * 2^30`) or the words
/// of old products (`GigaBytes`). `None` where either is not understood or the result passes 2^64.
#[must_use]
pub fn capacity_bytes(number: &str, units: Option<&str>) -> Option<Bytes> {
    let number: u64 = number.trim().parse().ok()?;
    let units = units.unwrap_or("byte").to_ascii_lowercase();
    let factor = match units.trim() {
        "byte" | "bytes" => 1,
        "kilobytes" => 1 << 10,
        "megabytes" => 1 << 20,
        "gigabytes" => 1 << 30,
        text => {
            let (base, exponent) = text
                .strip_prefix("byte")?
                .trim_start()
                .strip_prefix('*')?
                .trim()
                .split_once('^')?;
            let (base, exponent): (u64, u32) =
                (base.trim().parse().ok()?, exponent.trim().parse().ok()?);
            base.checked_pow(exponent)?
        }
    };
    number.checked_mul(factor).map(Bytes)
}

fn property_defaults(root: &Element) -> BTreeMap<&str, &str> {
    let properties = root.descendants("Property");
    properties
        .into_iter()
        .filter_map(|property| Some((property.attribute("key")?, property.attribute("value")?)))
        .collect()
}

fn system_of(system: &Element) -> OvfSystem {
    let hardware = system.child("VirtualHardwareSection");
    let items = hardware.into_iter().flat_map(|section| &section.children);
    let items = items
        .filter(|item| matches!(item.name.as_str(), "Item" | "StorageItem" | "EthernetPortItem"));
    let configs = hardware.into_iter().flat_map(|section| section.children_named("Config"));
    let firmware = configs
        .filter(|config| config.attribute("key") == Some("firmware"))
        .find_map(|config| config.attribute("value").map(str::to_owned));
    let product = system.child("ProductSection");
    OvfSystem {
        id: system.attribute("id").map(str::to_owned),
        name: system.child_text("Name").map(str::to_owned),
        os_type: system
            .child("OperatingSystemSection")
            .and_then(|section| section.attribute("osType"))
            .map(str::to_owned),
        hardware_version: hardware
            .and_then(|section| section.child("System"))
            .and_then(|system| system.child_text("VirtualSystemType"))
            .map(str::to_owned),
        product: product.and_then(|section| section.child_text("Product")).map(str::to_owned),
        annotation: system
            .child("AnnotationSection")
            .and_then(|section| section.child_text("Annotation"))
            .map(str::to_owned),
        firmware,
        items: items.map(item_of).collect(),
        properties: system
            .children_named("ProductSection")
            .flat_map(|section| section.children_named("Property"))
            .map(property_of)
            .collect(),
    }
}

fn item_of(item: &Element) -> OvfItem {
    let text = |name: &str| item.child_text(name).map(str::to_owned);
    let number = |name: &str| item.child_text(name).and_then(|text| text.parse().ok());
    OvfItem {
        instance_id: text("InstanceID").or_else(|| text("InstanceId")),
        resource_type: number("ResourceType"),
        resource_sub_type: text("ResourceSubType"),
        element_name: text("ElementName").or_else(|| text("Caption")),
        parent: text("Parent"),
        address: text("Address"),
        address_on_parent: text("AddressOnParent"),
        host_resource: text("HostResource"),
        connection: text("Connection"),
        quantity: number("VirtualQuantity"),
        allocation_units: text("AllocationUnits"),
    }
}

fn property_of(property: &Element) -> OvfProperty {
    let key = property.attribute("key").unwrap_or_default().to_owned();
    let secret = is_secret_key(&key) || property.attribute("password") == Some("true");
    let value = property
        .attribute("value")
        .map(|value| if secret { WITHHELD.to_owned() } else { value.to_owned() });
    OvfProperty { key, value }
}
