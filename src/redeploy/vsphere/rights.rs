//! Which privileges the session has.

use super::{error::Error, server::Server, xml::MoRef};

impl Server {
    /// Those of `wanted` that we do not have on `entity`; none where the server does not tell.
    ///
    /// # Errors
    /// As the call says.
    pub fn lacking(&self, entity: &MoRef, wanted: &[&str]) -> Result<Vec<String>, Error> {
        let (Some(manager), Some(session)) = (&self.content.rights, self.session_key()) else {
            return Ok(Vec::new());
        };
        let said = self.ask("HasPrivilegeOnEntities", manager, |xml| {
            xml.object("entity", entity);
            xml.text("sessionId", &session);
            for privilege in wanted {
                xml.text("privId", privilege);
            }
        });
        let said = match said {
            Ok(said) => said,
            // Who may not ask, or asks a server that cannot tell, learns it from the first call.
            Err(Error::Fault(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let told = said.all("returnval").flat_map(|of| of.all("privAvailability"));
        let refused = told.filter(|one| one.text_at(&["isGranted"]) == Some("false"));
        Ok(refused.filter_map(|one| Some(one.text_at(&["privId"])?.to_owned())).collect())
    }
}
