//! The virtual machine's configuration: `.vmx`, and `.vmtx`, which is the same text of a template.
//!
//! A typed view over [`Dictionary`]. File names are kept exactly as written: they come from
//! an untrusted file and may point anywhere, so whoever opens them confines them first.

mod device;
mod encryption;
mod key_safe;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use device::{DeviceKind, Nic, StorageDevice, derive_generated_address};
pub use encryption::Encryption;
pub use key_safe::{KeyLocator, KeySafe};

use crate::{
    defect::{Checked, DefectKind},
    dict::{DefectList, Dictionary},
    field::{FieldNote, Fields},
};

/// Guest firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// Legacy BIOS, also where the key is absent.
    Bios,
    /// UEFI.
    Efi,
}

/// A configuration as read. Secrets are withheld from `Debug` and `Serialize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vmx {
    /// Every line, for keys that have no field here.
    pub dictionary: Dictionary,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `guestOS`: VMware's short guest name.
    pub guest_os: Option<String>,
    /// `annotation`: the notes of the machine, line breaks decoded.
    pub annotation: Option<String>,
    /// `memsize`, in MiB.
    pub memory_mib: Option<u64>,
    /// `numvcpus`; VMware's default is 1.
    pub vcpus: Option<u64>,
    /// `firmware`.
    pub firmware: Firmware,
    /// `uefi.secureBoot.enabled`.
    pub secure_boot: Option<bool>,
    /// `uuid.bios`, as written.
    pub uuid_bios: Option<String>,
    /// `uuid.location`, as written.
    pub uuid_location: Option<String>,
    /// `vc.uuid`: the instance uuid vCenter knows.
    pub vc_uuid: Option<String>,
    /// `virtualHW.version`.
    pub hardware_version: Option<u64>,
    /// `nvram`: file name.
    pub nvram: Option<String>,
    /// `extendedConfigFile`: file name of the `.vmxf`.
    pub extended_config_file: Option<String>,
    /// `checkpoint.vmState`: file name of the suspend state, empty where there is none.
    pub vm_state: Option<String>,
    /// `cleanShutdown`: false while running and after a crash or kill.
    pub clean_shutdown: Option<bool>,
    /// Disks, CD drives and floppies, by node.
    pub devices: Vec<StorageDevice>,
    /// Network cards, by number.
    pub nics: Vec<Nic>,
    /// What of it is encrypted by VMware itself.
    pub encryption: Encryption,
}

impl Vmx {
    /// Reads a `.vmx` or `.vmtx`.
    ///
    /// Besides the dictionary's own defects: the keys VMware cannot do without
    /// (`config.version`, `virtualHW.version`) when missing, numbers that are none, and
    /// duplicates of key safes. A whole-encrypted file misses them rightly.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let read = Dictionary::parse("vmx", bytes);
        let mut defects = DefectList::new("vmx");
        defects.extend(read.defects);
        let typed = Self::from_dictionary(read.value);
        defects.extend(typed.defects);
        Checked { value: typed.value, defects: defects.finish() }
    }

    /// The typed view of a dictionary that was read or rebuilt elsewhere.
    #[must_use]
    pub fn from_dictionary(dictionary: Dictionary) -> Checked<Self> {
        let mut defects = DefectList::new("vmx");
        let encryption = Encryption::of(&dictionary, &mut defects);
        if !matches!(encryption, Encryption::Whole { .. }) {
            for key in ["config.version", "virtualHW.version"] {
                if dictionary.get(key).is_none() {
                    let what = key.to_owned();
                    defects.add("key", 0, DefectKind::Missing { what });
                }
            }
        }
        let text = |key: &str| dictionary.value(key).map(str::to_owned);
        let mut number = |key: &'static str| {
            let entry = dictionary.get(key)?;
            let found = entry.value.trim().parse().ok();
            if found.is_none() {
                let expected = "a decimal number".to_owned();
                let found = format!("{:?}", crate::dict::shorten(&entry.value));
                defects.add_at(key, entry.value_at, DefectKind::Mismatch { expected, found });
            }
            found
        };
        let value = Self {
            memory_mib: number("memsize"),
            vcpus: number("numvcpus"),
            hardware_version: number("virtualHW.version"),
            display_name: text("displayName"),
            guest_os: text("guestOS"),
            annotation: text("annotation"),
            firmware: match dictionary.value("firmware") {
                Some(value) if value.eq_ignore_ascii_case("efi") => Firmware::Efi,
                Some(_) | None => Firmware::Bios,
            },
            secure_boot: dictionary.is_true("uefi.secureBoot.enabled"),
            uuid_bios: text("uuid.bios"),
            uuid_location: text("uuid.location"),
            vc_uuid: text("vc.uuid"),
            nvram: text("nvram"),
            extended_config_file: text("extendedConfigFile"),
            vm_state: text("checkpoint.vmState"),
            clean_shutdown: dictionary.is_true("cleanShutdown"),
            devices: device::storage_devices(&dictionary),
            nics: device::nics(&dictionary),
            encryption,
            dictionary,
        };
        Checked { value, defects: defects.finish() }
    }

    /// The hard disks that are present, by node.
    pub fn disks(&self) -> impl Iterator<Item = &StorageDevice> {
        self.devices.iter().filter(|device| device.kind == DeviceKind::HardDisk && device.present)
    }
}

impl Fields for Vmx {
    fn fields(&self) -> Vec<FieldNote> {
        self.dictionary.fields()
    }
}
