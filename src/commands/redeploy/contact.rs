//! Which server, as whom, trusted by what.

use std::{io::IsTerminal as _, path::PathBuf, sync::Arc};

use super::super::{Refusal, Usage};
use crate::redeploy::{
    journal::{Step, Told},
    vsphere::{Address, AddressError, Credentials, Error, Server, ThumbprintError, Trust},
};

/// How to reach the server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct Login {
    /// The user [env: GOVC_USERNAME]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file whose first line is the password; else GOVC_PASSWORD, else a question on a terminal
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// SHA-256 of the server's certificate; without one, it is shown and nothing is sent
    #[arg(long, value_name = "SHA256", conflicts_with = "ca")]
    pub thumbprint: Option<String>,
    /// Certificates (PEM) that vouch for the server [env: GOVC_TLS_CA_CERTS]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(in crate::commands) fn connect(
    address: Option<&str>,
    planned: Option<(&str, Option<&str>)>,
    login: &Login,
) -> anyhow::Result<Arc<Server>> {
    let usage = |error: AddressError| Usage(error.to_string());
    let from_variable = variable("GOVC_URL")
        .map(|text| Address::from_variable(&text))
        .transpose()
        .map_err(|error| Usage(format!("GOVC_URL: {error}")))?;
    let named = address.map(Address::parse).transpose().map_err(usage)?;
    let (address, mut password) = match (named, from_variable) {
        // A password in GOVC_URL is for that server only.
        (Some(named), Some((other, password))) if named.base() == other.base() => {
            (Address { user: named.user.or(other.user), ..named }, password)
        }
        (Some(named), _) => (named, None),
        (None, Some(found)) => found,
        (None, None) => {
            return Err(Usage("no server; give --server or GOVC_URL".to_owned()).into());
        }
    };
    if let Some(known) = variable("GOVC_PASSWORD") {
        password = Some(known.into());
    }
    let (pin, planned_user) = match planned {
        Some((pin, user)) => (Some(pin).filter(|pin| !pin.is_empty()), user.map(str::to_owned)),
        None => (None, None),
    };
    let trust = trust(login, pin)?;
    let user = login
        .user
        .clone()
        .or_else(|| address.user.clone())
        .or_else(|| variable("GOVC_USERNAME"))
        .or(planned_user);
    let ask = std::io::stdin().is_terminal();
    let credentials =
        Credentials::gather(user, login.password_file.as_deref(), password, ask, &address.host)
            .map_err(|error| {
                // A file that cannot be read is an I/O error, the others are words missing.
                let io = std::error::Error::source(&error).is_some();
                let text = error.to_string();
                if io { anyhow::Error::new(error) } else { Usage(text).into() }
            })?;
    Server::connect(&address, credentials, trust).map_err(outside)
}

pub(super) fn trust(login: &Login, planned: Option<&str>) -> anyhow::Result<Trust> {
    if let Some(text) = login.thumbprint.as_deref().or(planned.filter(|_| login.ca.is_none())) {
        return Ok(Trust::Pin(text.parse().map_err(|e: ThumbprintError| Usage(e.to_string()))?));
    }
    let file = login.ca.clone().or_else(|| variable("GOVC_TLS_CA_CERTS").map(PathBuf::from));
    match file {
        Some(file) => Ok(Trust::from_pem_file(&file).map_err(Usage)?),
        None => Ok(Trust::Nothing),
    }
}

/// Certificates and passwords that are wrong are refusals; the rest is the line.
pub(in crate::commands) fn outside(error: Error) -> anyhow::Error {
    match &error {
        Error::UnknownCertificate { .. } | Error::WrongCertificate { .. } => {
            Refusal::Rule(error.to_string()).into()
        }
        Error::Fault(_) if error.fault_kind() == Some("InvalidLogin") => {
            Refusal::Rule(error.to_string()).into()
        }
        _ => error.into(),
    }
}

/// A journal belongs to one server.
pub(super) fn same_server(told: &Told, server: &Server) -> anyhow::Result<()> {
    let Some(Step::Open { server: known, instance, .. }) = &told.open else { return Ok(()) };
    let same = match (instance, &server.about().instance_uuid) {
        (Some(known), Some(now)) => known == now,
        _ => *known == server.address().base(),
    };
    if same {
        return Ok(());
    }
    let now = server.address().base();
    Err(Refusal::Rule(format!(
        "the journal is about {known}, not about {now}; name another --journal"
    ))
    .into())
}
