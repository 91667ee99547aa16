//! The plan: what is to be made where, written for a person to read and change.

mod check;
mod disk;
mod draft;
mod lone;
mod origin;
mod ovf;
mod source;
mod vmx;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use check::check;
pub(super) use check::nic_kind;
pub use disk::Form;
pub use draft::{Draft, draft};
pub use source::{SourceError, Stretch, stamp};

use super::vsphere::Controller;

/// The name and version of the form.
pub const SCHEMA: &str = "vmglean.redeploy-plan/1";

/// A whole plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: String,
    /// What the case is called; stands in every machine's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Which server.
    pub server: ServerPart,
    /// The network that machines are put on.
    pub network: NetworkPart,
    /// How much at once.
    #[serde(default)]
    pub limits: Limits,
    /// The machines.
    #[serde(default, rename = "machine")]
    pub machines: Vec<Machine>,
}

/// Which server, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerPart {
    /// `https://host`.
    pub address: String,
    /// Never a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// SHA-256 of its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
    /// What it said it was.
    #[serde(default)]
    pub product: String,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPart {
    /// The port group's name.
    pub name: String,
    /// The switch's name, when it is to be made.
    pub switch: String,
    /// Whether switch and port group are made, without uplink, on each host used.
    pub make_isolated: bool,
}

/// How much at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Machines at a time on one host.
    pub machines_per_host: usize,
    /// Machines at a time in all.
    pub machines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { machines_per_host: 2, machines: 8 }
    }
}

/// How a machine comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// Descriptor and flat file of each disk are uploaded with the `.vmx`, which is registered.
    Register,
    /// The same disks, and the machine is made from the plan's hardware.
    Create,
    /// Stream-optimized disks are imported through a lease.
    Import,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name in the inventory.
    pub name: String,
    /// Machines of wave 1 are made and started before those of wave 2.
    pub wave: u32,
    /// Whether it is started when its wave is complete.
    pub power_on: bool,
    /// How it comes to be.
    pub route: Route,
    /// The host's name.
    pub host: String,
    /// The datastore's name.
    pub datastore: String,
    /// The folder made on the datastore; not for imports, where the server chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Where it comes from.
    pub source: PathBuf,
    /// Its configuration, below `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmx: Option<PathBuf>,
    /// Its firmware's variables, below `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvram: Option<PathBuf>,
    /// What people should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// SHA-256 of the manifest beside its files, where there is one; stands in the machine's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Values below that nothing tells: each with its reason, to be looked over by a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guessed: Vec<String>,
    /// Processor, memory and so on.
    pub hardware: Hardware,
    /// Disks.
    #[serde(default, rename = "disk")]
    pub disks: Vec<Disk>,
    /// Network cards.
    #[serde(default, rename = "nic")]
    pub nics: Vec<NicPart>,
}

/// A machine's hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// `13` for `vmx-13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// `windows9Server64Guest`; `otherGuest64` where nobody knows.
    pub guest_id: String,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u64,
    /// `bios` or `efi`.
    pub firmware: String,
    /// With secure boot.
    #[serde(default)]
    pub secure_boot: bool,
    /// The BIOS id, kept so that licences and backup software know the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// On which controller.
    pub controller: Controller,
    /// Which of its kind.
    pub bus: u32,
    /// Which place on it.
    pub unit: u32,
    /// What the guest sees.
    pub capacity_bytes: u64,
    /// What `data` is, where it is neither a flat file with its descriptor nor a stream.
    #[serde(default, skip_serializing_if = "Form::is_as_is")]
    pub form: Form,
    /// The descriptor, below the machine's source; none for a stream, nor where it is written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<PathBuf>,
    /// The data, below the machine's source: the flat file, the stream, the sparse disk, or an
    /// OVA.
    pub data: PathBuf,
    /// Where the data begin in that file.
    #[serde(default)]
    pub offset_bytes: u64,
    /// How many bytes are sent.
    pub size_bytes: u64,
    /// When the data last changed, nanoseconds since 1970 as text; apply refuses when it changed.
    pub modified: String,
    /// What the data must hash to, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicPart {
    /// `vmxnet3`, `e1000`, `e1000e`, `pcnet32`.
    pub kind: String,
    /// Another network than the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Its address; without, the server makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Plugged in at start.
    pub connected: bool,
    /// What it was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

/// A plan that cannot be worked from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not the form.
    #[error("line {line}: {message}")]
    Form {
        /// Where.
        line: usize,
        /// What.
        message: String,
    },
    /// Another version of the form.
    #[error("schema is {0:?}, this vmglean reads {SCHEMA:?}")]
    Schema(String),
    /// A value that cannot be.
    #[error("{0}")]
    Value(String),
}

impl Plan {
    /// Reads a plan and checks all that needs neither files nor a server.
    ///
    /// # Errors
    /// [`PlanError`], the first found.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let plan: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            PlanError::Form {
                line: before.matches('\n').count() + 1,
                message: error.message().lines().collect::<Vec<_>>().join(" "),
            }
        })?;
        if plan.schema != SCHEMA {
            return Err(PlanError::Schema(plan.schema));
        }
        check::values(&plan).map_err(PlanError::Value)?;
        Ok(plan)
    }

    /// As a person reads it.
    ///
    /// # Errors
    /// One line, for values that TOML cannot hold.
    pub fn to_text(&self) -> Result<String, String> {
        let body = toml::to_string_pretty(self).map_err(|error| error.to_string())?;
        Ok(format!(
            "# A redeploy plan. Nothing has been made yet. Change what you like, then:\n\
             #   vmglean redeploy apply THIS_FILE --dry-run\n\
             #   vmglean redeploy apply THIS_FILE\n\n{body}"
        ))
    }
}

impl Machine {
    /// What tells a machine that was changed in the plan from one that was not.
    #[must_use]
    pub fn digest(&self) -> String {
        // The wave may change and whether it starts; what was made stays what it is.
        let fixed = Self {
            wave: 0,
            power_on: false,
            notes: Vec::new(),
            guessed: Vec::new(),
            ..self.clone()
        };
        let text = serde_json::to_vec(&fixed).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }

    /// Its folder on the datastore.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.directory.as_deref().unwrap_or(&self.name)
    }

    /// Bytes that travel.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.disks.iter().map(|disk| disk.size_bytes).fold(0, u64::saturating_add)
    }
}
