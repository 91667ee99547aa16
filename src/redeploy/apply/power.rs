//! Starting machines, in their wave and on their network only.

use super::{Machine, Phase, Run, Step, StepError};
use crate::redeploy::estate;

impl Run<'_> {
    pub(super) fn power_on(&self, machine: &Machine) -> Result<(), StepError> {
        let record = self.record(machine);
        let Some(mo) = record.whole else { return Ok(()) };
        if record.started {
            return Ok(());
        }
        // Somebody may have moved it since.
        self.as_planned(machine, &mo)?;
        let name = Some(machine.name.as_str());
        self.journal.note(name, Phase::Begin, &Step::Power, None)?;
        let runs = estate::machine(self.server, &mo)?.is_some_and(|found| found.powered_on);
        if !runs {
            match self.server.power_on(&mo, self.stop) {
                Err(error) if error.fault_kind() != Some("InvalidPowerState") => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        self.journal.note(name, Phase::Done, &Step::Power, None)?;
        (self.say)(&format!("{}: started", machine.name));
        Ok(())
    }
}
