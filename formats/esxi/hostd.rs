//! hostd's XML files: `vmInventory.xml`, `pools.xml`, `vmAutoStart.xml`.

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::DefectList,
    field::{FieldNote, Fields},
    units::{ByteOffset, Bytes},
    xml::{self, Element},
};

/// One registered machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InventoryEntry {
    /// `objID`: the machine's number on this host.
    pub object_id: Option<String>,
    /// `vmxCfgPath`: `/vmfs/volumes/<datastore>/<folder>/<name>.vmx`.
    pub vmx_path: Option<String>,
    /// Where the entry begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

/// `vmInventory.xml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VmInventory {
    /// In file order.
    pub entries: Vec<InventoryEntry>,
}

/// A resource pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourcePool {
    /// `objID`.
    pub object_id: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `path`.
    pub path: Option<String>,
}

/// A machine's place in the pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolMember {
    /// `objID` of the machine.
    pub object_id: Option<String>,
    /// `resourcePool`.
    pub pool: Option<String>,
    /// `lastModified`, ISO 8601 as written.
    pub last_modified: Option<String>,
}

/// `pools.xml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResourcePools {
    /// The pools.
    pub pools: Vec<ResourcePool>,
    /// The machines.
    pub machines: Vec<PoolMember>,
}

/// One machine that starts with its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AutoStartEntry {
    /// `key`: the machine's number on this host.
    pub object_id: Option<String>,
    /// `startOrder`; -1 is any.
    pub start_order: Option<i64>,
    /// `startAction`.
    pub start_action: Option<String>,
}

/// `vmAutoStart.xml`. Entries inferred from the API's names; the sample has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AutoStart {
    /// `SystemDefaults/startDelay`.
    pub start_delay_s: Option<i64>,
    /// `SystemDefaults/stopAction`.
    pub stop_action: Option<String>,
    /// `AutoStartOrder`.
    pub entries: Vec<AutoStartEntry>,
}

fn root(bytes: &[u8], structure: &'static str) -> (Option<Element>, DefectList) {
    let mut defects = DefectList::new(structure);
    (xml::parse(bytes, "ConfigRoot", &mut defects), defects)
}

fn text(element: &Element, name: &str) -> Option<String> {
    element.child_text(name).map(str::to_owned)
}

impl VmInventory {
    /// Reads `vmInventory.xml`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let (root, mut defects) = root(bytes, "vmInventory");
        let mut value = Self::default();
        for entry in root.iter().flat_map(|root| root.children_named("ConfigEntry")) {
            let found = InventoryEntry {
                object_id: text(entry, "objID"),
                vmx_path: text(entry, "vmxCfgPath"),
                at: entry.at,
            };
            if found.vmx_path.is_none() {
                let what = "<vmxCfgPath>".to_owned();
                defects.add_at("ConfigEntry", entry.at, DefectKind::Missing { what });
            }
            value.entries.push(found);
        }
        Checked { value, defects: defects.finish() }
    }
}

impl Fields for VmInventory {
    fn fields(&self) -> Vec<FieldNote> {
        self.entries
            .iter()
            .map(|entry| {
                let id = entry.object_id.clone().unwrap_or_default();
                let path = entry.vmx_path.clone().unwrap_or_default();
                FieldNote::new("ConfigEntry", id, entry.at, Bytes(0), path)
            })
            .collect()
    }
}

impl ResourcePools {
    /// Reads `pools.xml`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let (root, defects) = root(bytes, "pools");
        let mut value = Self::default();
        if let Some(root) = root {
            value.pools = root
                .children_named("resourcePool")
                .map(|pool| ResourcePool {
                    object_id: text(pool, "objID"),
                    name: text(pool, "name"),
                    path: text(pool, "path"),
                })
                .collect();
            value.machines = root
                .children_named("vm")
                .map(|vm| PoolMember {
                    object_id: text(vm, "objID"),
                    pool: text(vm, "resourcePool"),
                    last_modified: text(vm, "lastModified"),
                })
                .collect();
        }
        Checked { value, defects: defects.finish() }
    }
}

impl AutoStart {
    /// Reads `vmAutoStart.xml`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let (root, defects) = root(bytes, "vmAutoStart");
        let mut value = Self::default();
        if let Some(root) = root {
            let defaults = root.child("SystemDefaults");
            let delay = defaults.and_then(|defaults| defaults.child_text("startDelay"));
            value.start_delay_s = delay.and_then(|delay| delay.parse().ok());
            value.stop_action = defaults.and_then(|defaults| text(defaults, "stopAction"));
            let order = root.child("AutoStartOrder").into_iter().flat_map(|order| &order.children);
            value.entries = order
                .filter(|entry| entry.child("key").is_some())
                .map(|entry| AutoStartEntry {
                    object_id: text(entry, "key"),
                    start_order: entry.child_text("startOrder").and_then(|text| text.parse().ok()),
                    start_action: text(entry, "startAction"),
                })
                .collect();
        }
        Checked { value, defects: defects.finish() }
    }
}
