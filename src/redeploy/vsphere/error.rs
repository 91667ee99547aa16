//! What can go wrong between us and a server, each with what to do about it.

use std::{io, path::PathBuf};

use super::{
    tls::Thumbprint,
    xml::{Node, XmlError},
};

/// A fault as the server words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The call that was answered so.
    pub method: String,
    /// The fault's kind: `NoPermission`, `InvalidLogin`, …
    pub kind: String,
    /// The server's own sentence; may be empty.
    pub message: String,
    /// Further words: the privilege that is missing, the server in charge, nested messages.
    pub details: Vec<String>,
}

impl Fault {
    /// From `<soapenv:Fault>`.
    pub(super) fn from_soap(method: &str, fault: &Node) -> Self {
        let detail = fault.child("detail").and_then(|detail| detail.children.first());
        let kind = detail.map_or("Fault", |detail| {
            detail.kind.as_deref().unwrap_or_else(|| detail.name.trim_end_matches("Fault"))
        });
        let message = fault.text_at(&["faultstring"]).unwrap_or_default();
        Self::new(method, kind, message, detail)
    }

    /// From the `error` of a task or lease: `{fault, localizedMessage}`.
    pub(super) fn from_localized(method: &str, error: &Node) -> Self {
        let detail = error.child("fault");
        let kind = detail.and_then(|detail| detail.kind.as_deref()).unwrap_or("Fault");
        let message = error.text_at(&["localizedMessage"]).unwrap_or_default();
        Self::new(method, kind, message, detail)
    }

    fn new(method: &str, kind: &str, message: &str, detail: Option<&Node>) -> Self {
        let mut details = Vec::new();
        for name in
            ["privilegeId", "managementServer", "invalidProperty", "name", "file", "datastore"]
        {
            details.extend(
                detail.and_then(|d| d.text_at(&[name])).map(|text| format!("{name} {text}")),
            );
        }
        if let Some(detail) = detail {
            details.extend(
                detail
                    .all("faultMessage")
                    .filter_map(|line| line.text_at(&["message"]))
                    .take(8)
                    .map(str::to_owned),
            );
        }
        Self {
            method: method.to_owned(),
            kind: kind.to_owned(),
            message: message.trim().to_owned(),
            details,
        }
    }

    /// What to do about it, where there is something to say.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self.kind.as_str() {
            "RestrictedVersion" => {
                "the host's licence only allows reading over the API; enter a paid or evaluation licence, or upload by another way"
            }
            "HostAccessRestrictedToManagementServer" => {
                "a vCenter manages this host; work through that vCenter, or disconnect the host from it"
            }
            "OperationDisallowedOnHost" => {
                "the host is under a vCenter's control; disconnect it there first"
            }
            "NoPermission" => "the user's role lacks the named privilege on that object",
            "InvalidLogin" => {
                "it was not tried again, because hosts lock the account after a few failures; check user, password, and whether the host is in lockdown mode"
            }
            "NotAuthenticated" => "the session ended and could not be renewed",
            "InvalidRequest" => {
                "the server does not accept this request; that is a defect of vmglean, please report it"
            }
            "DuplicateName" | "AlreadyExists" | "FileAlreadyExists" => {
                "something of that name is there already and is left alone; choose another name in the plan"
            }
            "FileLocked" => "another host or task holds the file",
            "NoDiskSpace" => "the datastore is full; choose another in the plan",
            "InsufficientResourcesFault"
            | "InsufficientMemoryResourcesFault"
            | "InsufficientCpuResourcesFault" => {
                "the host or pool has too little left; start fewer machines, or choose another host"
            }
            "HostNotConnected" => "vCenter has lost that host; choose another in the plan",
            "InvalidPowerState" => "the machine's power state changed meanwhile",
            "TaskInProgress" => "another task works on that object; run again when it is done",
            "ManagedObjectNotFound" => "it was removed meanwhile",
            "ResourceInUse" => "it is still in use and is left alone",
            _ => return None,
        })
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.method, self.kind)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        for detail in self.details.iter().filter(|detail| !self.message.contains(detail.as_str())) {
            write!(f, " ({detail})")?;
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// First contact, nothing trusted yet.
    #[error(
        "the certificate of {host} is not known yet; its SHA-256 thumbprint is {shown}; compare it with the one on the host's console, then give it with --thumbprint"
    )]
    UnknownCertificate {
        /// Whose.
        host: String,
        /// What it showed.
        shown: Thumbprint,
    },
    /// Not the one that was pinned.
    #[error("{host} shows the certificate {shown}, which is not the expected {}; nothing was sent", expected.map_or_else(|| "one".to_owned(), |e| e.to_string()))]
    WrongCertificate {
        /// Whose.
        host: String,
        /// What it showed.
        shown: Thumbprint,
        /// What was pinned.
        expected: Option<Thumbprint>,
    },
    /// The server refused by a named fault.
    #[error("{0}")]
    Fault(Fault),
    /// An answer of HTTP that is not what we asked for.
    #[error("{what}: the server answered HTTP {status}{}", if body.is_empty() { String::new() } else { format!(": {body}") })]
    Http {
        /// What was asked.
        what: String,
        /// The status.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// The line broke, or never was.
    #[error("{what}: {detail}")]
    Line {
        /// What was asked.
        what: String,
        /// The whole chain of causes.
        detail: String,
        /// Bytes of the body that had been handed to the line.
        sent_bytes: u64,
    },
    /// Nothing moved for too long.
    #[error("{what}: nothing moved for {seconds} s after {sent_bytes} bytes")]
    Stalled {
        /// What was asked.
        what: String,
        /// How long.
        seconds: u64,
        /// Bytes of the body that had been handed to the line.
        sent_bytes: u64,
    },
    /// An answer that cannot be read.
    #[error("{what}")]
    Reply {
        /// What was asked.
        what: String,
        /// Why.
        source: XmlError,
    },
    /// An answer that can be read but lacks what it must hold.
    #[error("{what}: {detail}")]
    Unexpected {
        /// What was asked.
        what: String,
        /// What is missing or odd.
        detail: String,
    },
    /// A file of ours cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody asked for a stop.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// The fault's kind, if it is a fault.
    #[must_use]
    pub fn fault_kind(&self) -> Option<&str> {
        match self {
            Self::Fault(fault) => Some(&fault.kind),
            _ => None,
        }
    }

    /// Whether the same may well work a moment later. What was asked for may have happened.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Line { .. } | Self::Stalled { .. } | Self::Reply { .. } => true,
            Self::Http { status, .. } => matches!(status, 401 | 408 | 429 | 500 | 502 | 503 | 504),
            Self::Fault(fault) => {
                matches!(
                    fault.kind.as_str(),
                    "NotAuthenticated" | "TaskInProgress" | "HostCommunication"
                )
            }
            _ => false,
        }
    }
}
