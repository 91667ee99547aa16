//! `esx.conf`: `/key/path = "value"`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, Dictionary},
    field::{FieldNote, Fields},
    units::ByteOffset,
};

/// A port group of a standard switch. Up to ESXi 6.7; later versions keep it in the config store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortGroup {
    /// Its name.
    pub name: String,
    /// The switch's key: `child[0000]`.
    pub switch: String,
    /// `vlanId`.
    pub vlan_id: Option<u64>,
    /// Where the line of its name begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Number of that line, from 1.
    pub line: u32,
}

/// An NFS datastore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NasMount {
    /// The datastore's name.
    pub name: String,
    /// `host`.
    pub host: Option<String>,
    /// `share`.
    pub share: Option<String>,
}

/// An `esx.conf` as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EsxConf {
    /// Every line.
    pub dictionary: Dictionary,
    /// `/adv/Misc/HostName`.
    pub host_name: Option<String>,
    /// `/system/uuid`.
    pub system_uuid: Option<String>,
    /// `/adv/Misc/HostIPAddr`.
    pub host_ip: Option<String>,
    /// `/adv/Net/ManagementIface`.
    pub management_interface: Option<String>,
    /// `/resourceGroups/version`: the product version.
    pub version: Option<String>,
    /// `/system/inception`: when the host was installed.
    pub inception: Option<String>,
    /// `/nas/…`: NFS datastores.
    pub nas: Vec<NasMount>,
    /// `/net/vswitch/…/portgroup/…`.
    pub port_groups: Vec<PortGroup>,
    /// `/net/vmkernelnic/…/portgroup`: names of the port groups that the host itself is on.
    pub host_port_groups: Vec<String>,
}

impl EsxConf {
    /// Reads an `esx.conf`. A file without `/system/uuid` is no whole one and says so.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let read = Dictionary::parse("esx.conf", bytes);
        let mut defects = DefectList::new("esx.conf");
        defects.extend(read.defects);
        let dictionary = read.value;
        let text = |key: &str| dictionary.value(key).map(str::to_owned);
        if dictionary.get("/system/uuid").is_none() {
            let what = "/system/uuid".to_owned();
            defects.add("key", 0, DefectKind::Missing { what });
        }
        let value = Self {
            host_name: text("/adv/Misc/HostName"),
            system_uuid: text("/system/uuid"),
            host_ip: text("/adv/Misc/HostIPAddr"),
            management_interface: text("/adv/Net/ManagementIface"),
            version: text("/resourceGroups/version"),
            inception: text("/system/inception"),
            nas: nas(&dictionary),
            port_groups: port_groups(&dictionary),
            host_port_groups: host_port_groups(&dictionary),
            dictionary,
        };
        Checked { value, defects: defects.finish() }
    }
}

impl Fields for EsxConf {
    fn fields(&self) -> Vec<FieldNote> {
        self.dictionary.fields()
    }
}

fn nas(dictionary: &Dictionary) -> Vec<NasMount> {
    let mut found: BTreeMap<String, NasMount> = BTreeMap::new();
    for (_, entry) in dictionary.with_prefix("/nas/") {
        let mut parts = entry.key.split('/').skip(2);
        let (Some(name), Some(field)) = (parts.next(), parts.next()) else { continue };
        let mount = found.entry(name.to_owned()).or_insert_with(|| NasMount {
            name: name.to_owned(),
            host: None,
            share: None,
        });
        match field {
            "host" => mount.host = Some(entry.value.clone()),
            "share" => mount.share = Some(entry.value.clone()),
            _ => {}
        }
    }
    found.into_values().collect()
}

fn port_groups(dictionary: &Dictionary) -> Vec<PortGroup> {
    let named = dictionary.with_prefix("/net/vswitch/").filter_map(|(key, entry)| {
        let base = key.strip_suffix("/name")?;
        let (switch, group) = base.strip_prefix("/net/vswitch/")?.split_once("/portgroup/")?;
        (!group.contains('/')).then(|| PortGroup {
            name: entry.value.clone(),
            switch: switch.to_owned(),
            vlan_id: dictionary.number(&format!("{base}/vlanId")),
            at: entry.at,
            line: entry.line,
        })
    });
    named.collect()
}

fn host_port_groups(dictionary: &Dictionary) -> Vec<String> {
    let cards = dictionary.with_prefix("/net/vmkernelnic/");
    let named = cards.filter(|(key, _)| key.ends_with("/portgroup"));
    named.map(|(_, entry)| entry.value.clone()).collect()
}
