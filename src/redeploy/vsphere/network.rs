//! Networks without a way out: a standard switch without uplink and a port group on it.

use super::{
    error::Error,
    server::Server,
    xml::{MoRef, Node, Xml},
};

/// A standard switch of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Its name.
    pub name: String,
    /// How many physical cards carry it out.
    pub uplinks: usize,
    /// Its port groups.
    pub port_groups: Vec<String>,
}

impl Server {
    /// The standard switches of a host.
    ///
    /// # Errors
    /// As the call says.
    pub fn switches(&self, network_system: &MoRef) -> Result<Vec<Switch>, Error> {
        let found =
            self.properties(network_system, &["networkInfo.vswitch", "networkInfo.portgroup"])?;
        let list = |path| found.get(path).map(|list| list.children.as_slice()).unwrap_or_default();
        let groups: Vec<(String, String)> = list("networkInfo.portgroup")
            .iter()
            .filter_map(|group| {
                let switch = group.text_at(&["spec", "vswitchName"])?.to_owned();
                Some((switch, group.text_at(&["spec", "name"])?.to_owned()))
            })
            .collect();
        let switch = |node: &Node| {
            let name = node.text_at(&["name"])?.to_owned();
            let port_groups =
                groups.iter().filter(|(on, _)| *on == name).map(|(_, group)| group.clone());
            Some(Switch {
                uplinks: node.all("pnic").count(),
                port_groups: port_groups.collect(),
                name,
            })
        };
        Ok(list("networkInfo.vswitch").iter().filter_map(switch).collect())
    }

    /// Adds a switch that no physical card carries out.
    ///
    /// # Errors
    /// A fault `AlreadyExists`, and as the call says.
    pub fn add_switch(&self, network_system: &MoRef, name: &str) -> Result<(), Error> {
        self.act("AddVirtualSwitch", network_system, |xml| {
            xml.text("vswitchName", name);
            xml.element("spec", |xml| {
                xml.text("numPorts", 128);
                xml.element("policy", strict);
            });
        })
        .map(|_| ())
    }

    /// Adds a port group to a switch.
    ///
    /// # Errors
    /// A fault `AlreadyExists` or `NotFound`, and as the call says.
    pub fn add_port_group(
        &self,
        network_system: &MoRef,
        switch: &str,
        name: &str,
    ) -> Result<(), Error> {
        self.act("AddPortGroup", network_system, |xml| {
            xml.element("portgrp", |xml| {
                xml.text("name", name);
                xml.text("vlanId", 0);
                xml.text("vswitchName", switch);
                xml.element("policy", strict);
            });
        })
        .map(|_| ())
    }

    /// Removes a port group; servers refuse while something is on it.
    ///
    /// # Errors
    /// A fault `ResourceInUse` or `NotFound`, and as the call says.
    pub fn remove_port_group(&self, network_system: &MoRef, name: &str) -> Result<(), Error> {
        self.act("RemovePortGroup", network_system, |xml| xml.text("pgName", name)).map(|_| ())
    }

    /// Removes a switch.
    ///
    /// # Errors
    /// A fault `ResourceInUse` or `NotFound`, and as the call says.
    pub fn remove_switch(&self, network_system: &MoRef, name: &str) -> Result<(), Error> {
        self.act("RemoveVirtualSwitch", network_system, |xml| xml.text("vswitchName", name))
            .map(|_| ())
    }
}

/// A machine may neither listen to others nor pretend to be one.
fn strict(xml: &mut Xml) {
    xml.element("security", |xml| {
        xml.text("allowPromiscuous", false);
        xml.text("macChanges", false);
        xml.text("forgedTransmits", false);
    });
}
