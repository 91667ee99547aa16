//! VMware's own encryption of a configuration, which is not ransomware.

use serde::Serialize;

use super::key_safe::KeySafe;
use crate::{
    defect::DefectKind,
    dict::{DefectList, Dictionary},
};

/// What of a configuration is encrypted by VMware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Encryption {
    /// Nothing.
    None,
    /// Only secrets (`vmx.encryptionType = "partial"`, as a vTPM needs): the disks are clear.
    Partial {
        /// How the key can be had.
        key_safe: KeySafe,
        /// `vtpm.present`.
        vtpm: bool,
    },
    /// The configuration is inside `encryption.data`; disks are usually encrypted too.
    Whole {
        /// How the key can be had.
        key_safe: KeySafe,
        /// Length of the base64 text of `encryption.data`; 0 where it is lost.
        data_length_bytes: u64,
    },
    /// `encryption.keySafe` without data: nothing says whether the disks are encrypted.
    Undetermined {
        /// How the key can be had.
        key_safe: KeySafe,
    },
}

impl Encryption {
    pub(super) fn of(dictionary: &Dictionary, defects: &mut DefectList) -> Self {
        let safe = dictionary.get("encryption.keySafe");
        let data = dictionary.get("encryption.data");
        let partial = dictionary
            .value("vmx.encryptionType")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("partial"));
        let vtpm = dictionary.is_true("vtpm.present").unwrap_or(false);
        let key_safe = match safe {
            Some(entry) => KeySafe::parse(&entry.value, entry.value_at, defects),
            None if data.is_none() => return Self::None,
            None => {
                let what = "encryption.keySafe".to_owned();
                defects.add("key", 0, DefectKind::Missing { what });
                KeySafe::default()
            }
        };
        match data {
            _ if partial => Self::Partial { key_safe, vtpm },
            Some(data) => {
                let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
                if data.value.is_empty()
                    || !data.value.len().is_multiple_of(4)
                    || !data.value.bytes().all(base64)
                {
                    let expected = "base64".to_owned();
                    let found = format!("{} characters that are not", data.value.len());
                    let kind = DefectKind::Mismatch { expected, found };
                    defects.add_at("encryption.data", data.value_at, kind);
                }
                let data_length_bytes = data.value_length.0;
                Self::Whole { key_safe, data_length_bytes }
            }
            None => {
                let what = "encryption.data".to_owned();
                defects.add("key", 0, DefectKind::Missing { what });
                Self::Undetermined { key_safe }
            }
        }
    }

    /// The key safe, where there is one.
    #[must_use]
    pub fn key_safe(&self) -> Option<&KeySafe> {
        match self {
            Self::None => None,
            Self::Partial { key_safe, .. }
            | Self::Whole { key_safe, .. }
            | Self::Undetermined { key_safe } => Some(key_safe),
        }
    }
}
