//! Checkpoint files: `.vmsn` of snapshots, `.vmss` of suspended machines, `.cpt` of old ones.
//!
//! A header, a table of groups, and in each group a list of tags that describe themselves. Every
//! such file carries a spare of the machine's `.vmx`, `.nvram` and `.vmxf`. Source of the layout:
//! VMware's crash-dump reader headers, measured on three files (103 of 103 groups end exactly
//! where their table says).

mod block;
mod carve;
mod facts;
mod fields;
mod header;
mod memory;
mod reader;
#[cfg(test)]
mod tests;
mod walk;

use serde::Serialize;

pub use block::{Block, MAX_SPARE_BYTES};
pub use carve::{Carved, carve};
pub use facts::GuestVariable;
pub use header::{Group, Magic};
pub use memory::{MemoryImage, MemoryRegion};
pub use walk::{Tag, TagValue};

use crate::{
    defect::{Checked, FormatError},
    dict::DefectList,
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

/// Most groups believed; files of today hold about 100.
pub const MAX_GROUPS: u32 = 1024;
/// Most tags walked in one file.
pub const MAX_TAGS: usize = 1 << 17;

/// A checkpoint file taken apart. Holds places of large values, never the values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Which of the magics.
    pub magic: Magic,
    /// Header version; 8 in the files of Workstation 12 to 16.
    pub version: u32,
    /// Length of the file read.
    pub file_length: Bytes,
    /// The group table.
    pub groups: Vec<Group>,
    /// Every tag of every group, in file order within its group.
    pub tags: Vec<Tag>,
    /// A snapshot of disks alone: one group, `Snapshot`, with the spare files and no memory.
    pub disk_only: bool,
    /// `Snapshot/cfgFile`: the `.vmx` text at checkpoint time, followed by NULs.
    pub cfg_file: Option<Block>,
    /// `Snapshot/nvramFile`: the `.nvram` byte for byte.
    pub nvram_file: Option<Block>,
    /// `Snapshot/extendedConfigFile`: the `.vmxf` text, followed by NULs.
    pub extended_config_file: Option<Block>,
    /// `MKSVMX/imageData`: a PNG picture of the console.
    pub screenshot: Option<Block>,
    /// Where guest memory lies.
    pub memory: MemoryImage,
    /// `Checkpoint/ProductName`.
    pub product: Option<String>,
    /// `Checkpoint/VersionNumber`.
    pub product_version: Option<String>,
    /// `Checkpoint/BuildNumber`.
    pub product_build: Option<String>,
    /// `Checkpoint/memSize`, in MiB.
    pub memory_mib: Option<u64>,
    /// `UUIDVMX/BIOSUUID`, as sixteen hex bytes.
    pub bios_uuid: Option<String>,
    /// `MStats`: when the machine was powered on, in seconds since 1970 UTC. Inferred from tag
    /// names; no sample at hand.
    pub power_on_time_s: Option<u64>,
    /// `MStats`: when it was suspended, likewise.
    pub suspend_time_s: Option<u64>,
    /// `GuestVars`: what the guest told the host, such as its address; secrets withheld.
    pub guest_variables: Vec<GuestVariable>,
}

impl Checkpoint {
    /// Walks the whole structure of a checkpoint file. Large values are stepped over, so a file
    /// of 64 GiB costs a few reads a group.
    ///
    /// # Errors
    /// [`FormatError::Medium`] when not even the header can be read, [`FormatError::Damaged`]
    /// when the magic is none of the known ones; [`carve`] may still find the spare files.
    pub fn parse(file: &dyn ReadAt) -> Result<Checked<Self>, FormatError> {
        let mut reader = reader::Reader::new(file);
        let mut defects = DefectList::new("Checkpoint");
        let header = header::read(&mut reader, &mut defects)?;
        let tags = walk::tags(&mut reader, &header, &mut defects);
        header.check_tail(&mut reader, &mut defects);
        let view = facts::TagView { groups: &header.groups, tags: &tags };
        let one_snapshot = matches!(header.groups.as_slice(), [only] if only.name == "Snapshot");
        let value = Self {
            disk_only: one_snapshot,
            cfg_file: view.block("Snapshot", "cfgFile"),
            nvram_file: view.block("Snapshot", "nvramFile"),
            extended_config_file: view.block("Snapshot", "extendedConfigFile"),
            screenshot: view.block("MKSVMX", "imageData"),
            memory: memory::image(&view, &mut defects),
            product: view.text(file, "Checkpoint", "ProductName"),
            product_version: view.text(file, "Checkpoint", "VersionNumber"),
            product_build: view.text(file, "Checkpoint", "BuildNumber"),
            memory_mib: view.number("Checkpoint", "memSize"),
            bios_uuid: view.bios_uuid(file),
            power_on_time_s: view.time("MStats", "poweron"),
            suspend_time_s: view.time("MStats", "suspend"),
            guest_variables: view.guest_variables(file),
            magic: header.magic,
            version: header.version,
            file_length: Bytes(file.len_bytes()),
            groups: header.groups,
            tags,
        };
        value.check_spares(&mut defects);
        Ok(Checked { value, defects: defects.finish() })
    }

    fn check_spares(&self, defects: &mut DefectList) {
        let Some(group) = self.groups.iter().find(|group| group.name == "Snapshot") else { return };
        let spares = [
            ("Snapshot/cfgFile", &self.cfg_file),
            ("Snapshot/nvramFile", &self.nvram_file),
            ("Snapshot/extendedConfigFile", &self.extended_config_file),
        ];
        for (name, _) in spares.iter().filter(|(_, spare)| spare.is_none()) {
            let what = (*name).to_owned();
            defects.add_at("tag", group.position, crate::DefectKind::Missing { what });
        }
    }

    /// Reads a spare text file (`cfgFile`, `extendedConfigFile`) without the NULs behind it.
    ///
    /// # Errors
    /// As [`Block::read`].
    pub fn read_text(&self, file: &dyn ReadAt, block: &Block) -> Result<Vec<u8>, FormatError> {
        let mut bytes = block.read(file, MAX_SPARE_BYTES)?;
        let end =
            bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        bytes.truncate(end);
        Ok(bytes)
    }

    /// First byte behind the last group, where two zero bytes end the file.
    #[must_use]
    pub fn end_of_groups(&self) -> ByteOffset {
        header::end_of(&self.groups)
    }
}
