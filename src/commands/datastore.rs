//! Sources on a server: `vsphere://host/datastore`.

use std::path::PathBuf;

use super::{
    Usage,
    redeploy::{Login, connect, outside},
};
use crate::{
    interrupt::Interrupt,
    outcome::Outcome,
    redeploy::datastore::{ListError, list},
    source::RemoteSource,
    ui::Ui,
};

/// What a source on a server begins with.
pub(super) const SCHEME: &str = "vsphere://";

/// Whether a source lies on a server.
pub(super) fn is_remote(source: &std::path::Path) -> bool {
    source.to_str().is_some_and(|text| text.starts_with(SCHEME))
}

/// The sources of a command that lie on servers.
#[derive(Debug)]
pub(super) struct Remotes {
    /// Listed.
    pub(super) sources: Vec<RemoteSource>,
    /// Whether a file had to be left out.
    pub(super) outcome: Outcome,
    /// Hold names and lengths; gone with the command.
    folders: Vec<tempfile::TempDir>,
}

/// Lists those of `sources` that lie on servers. Nothing there is changed.
///
/// # Errors
/// When the server or the datastore cannot be had.
pub(super) fn remotes(
    sources: &[PathBuf],
    login: &Login,
    ui: &Ui,
    stop: &Interrupt,
) -> anyhow::Result<Remotes> {
    let mut remotes = Remotes { sources: Vec::new(), outcome: Outcome::Clean, folders: Vec::new() };
    for given in sources.iter().filter(|source| is_remote(source)) {
        let text = given.to_string_lossy();
        let rest = text.strip_prefix(SCHEME).unwrap_or_default().trim_end_matches('/');
        let (host, name) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() || name.contains('/') {
            let shown = host.rsplit('@').next().unwrap_or_default();
            let why =
                format!("{SCHEME}{shown} needs one datastore behind it: {SCHEME}host/datastore");
            return Err(Usage(why).into());
        }
        // Without a host, GOVC_URL says which.
        let host = Some(host).filter(|host| !host.is_empty());
        let server = connect(host, None, login)?;
        let folder = tempfile::tempdir()?;
        let listed = list(&server, name, given, folder.path(), &stop.flag());
        let listed = listed.map_err(|error| match error {
            ListError::Server(error) => outside(error),
            ListError::Unknown { .. } => Usage(error.to_string()).into(),
            ListError::Io(_) => error.into(),
        })?;
        for line in &listed.left_out {
            ui.warn(line);
            remotes.outcome = Outcome::Partial;
        }
        ui.message(format!("{}: {} files", given.display(), listed.files));
        remotes.sources.push(listed.source);
        remotes.folders.push(folder);
    }
    Ok(remotes)
}
