//! Which values must never be shown.

/// Stands where a secret value would.
pub const WITHHELD: &str = "<withheld>";

/// Whole key names, lower case.
const SECRET_KEYS: &[&str] = &[
    "encryption.keysafe",
    "encryption.data",
    "encryption.bundle",
    "datafilekey",
    "dataciphkey",
    "cryptostate",
    "guestinfo.userdata",
    "guestinfo.vendordata",
    "guestinfo.metadata",
    "guestinfo.ovfenv",
    "guestinfo.ignition.config.data",
    "remotedisplay.vnc.key",
];
/// Parts of key names, lower case.
const SECRET_PARTS: &[&str] = &["password", "passwd", "passphrase", "secret", "privatekey"];

/// Whether the value of this key is withheld from `Debug`, `Display`, reports and inspection:
/// key safes, encrypted payloads, passwords, and guest provisioning data that carry passwords.
#[must_use]
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_KEYS.contains(&key.as_str())
        || SECRET_PARTS.iter().any(|part| key.contains(part))
        || (key.starts_with("vtpm.") && key != "vtpm.present")
}

/// Whether a line that fits no grammar may carry a secret.
pub(crate) fn mentions_secret(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    SECRET_KEYS.iter().chain(SECRET_PARTS).any(|part| line.contains(part))
        || line.contains("vtpm.")
        || line.contains("pass2key")
        || line.contains("vmware:key")
        || line
            .split(|c: char| !(c.is_ascii_alphanumeric() || "+/=%".contains(c)))
            .any(|run| run.len() >= 48)
}
