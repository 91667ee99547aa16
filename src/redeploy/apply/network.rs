//! The isolated network on each host that is used.

use std::collections::BTreeSet;

use super::{Phase, Run, Step, StepError};

impl Run<'_> {
    /// Makes the switch and port group where they are missing.
    pub(super) fn networks(&self) -> Result<(), StepError> {
        let network = &self.plan.network;
        if !network.make_isolated {
            return Ok(());
        }
        let hosts: BTreeSet<&str> = self.plan.machines.iter().map(|m| m.host.as_str()).collect();
        for host in hosts {
            let Some(host) = self.estate.host(host) else { continue };
            let Some(system) = &host.network_system else {
                return Err(StepError::Refused(format!("{} has no networks to make", host.name)));
            };
            let switches = self.server.switches(system)?;
            let found = |name: &str| switches.iter().find(|switch| switch.name == name);
            if let Some(switch) = switches.iter().find(|s| s.port_groups.contains(&network.name)) {
                if switch.uplinks > 0 {
                    return Err(StepError::Refused(format!(
                        "{}: network {} is not isolated",
                        host.name, network.name
                    )));
                }
                continue;
            }
            let step = Step::Switch {
                host: host.name.clone(),
                system: system.clone(),
                name: network.switch.clone(),
            };
            match found(&network.switch) {
                Some(switch) if switch.uplinks > 0 => {
                    return Err(StepError::Refused(format!(
                        "{}: switch {} is not isolated",
                        host.name, network.switch
                    )));
                }
                Some(_) => {}
                None => self.noted(&step, || self.server.add_switch(system, &network.switch))?,
            }
            let step = Step::PortGroup {
                host: host.name.clone(),
                system: system.clone(),
                switch: network.switch.clone(),
                name: network.name.clone(),
            };
            self.noted(&step, || {
                self.server.add_port_group(system, &network.switch, &network.name)
            })?;
            (self.say)(&format!("{}: network {} made, without uplink", host.name, network.name));
        }
        Ok(())
    }

    fn noted(
        &self,
        step: &Step,
        act: impl Fn() -> Result<(), super::Error>,
    ) -> Result<(), StepError> {
        self.journal.note(None, Phase::Begin, step, None)?;
        match act() {
            Ok(()) => self.journal.note(None, Phase::Done, step, None)?,
            // The answer may be what was lost: the next run finds the thing and begins nothing.
            Err(error) if error.may_pass() => return Err(error.into()),
            Err(error) => {
                self.journal.note(None, Phase::Failed, step, Some(error.to_string()))?;
                return Err(error.into());
            }
        }
        Ok(())
    }
}
