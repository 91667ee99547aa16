//! Checkpoint files with every kind of tag.

use std::io::Read as _;

use flate2::{Compression, read::ZlibEncoder};

/// The five magics, and the spelling other readers use for the first.
pub const MAGICS: [u32; 6] =
    [0xBED0_BED0, 0xBED2_BED0, 0xBED2_BED2, 0xBED3_BED3, 0xBAD1_BAD1, 0xBAD2_BAD2];

/// Builds one file.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    magic: u32,
    groups: Vec<(String, Vec<u8>)>,
}

impl Checkpoint {
    /// An empty file of that magic.
    #[must_use]
    pub fn new(magic: u32) -> Self {
        Self { magic, groups: Vec::new() }
    }

    /// Opens a group; tags that follow belong to it.
    pub fn group(&mut self, name: &str) -> &mut Self {
        self.groups.push((name.into(), Vec::new()));
        self
    }

    /// The tags of the open group.
    fn body(&mut self) -> &mut Vec<u8> {
        if self.groups.is_empty() {
            self.group("unnamed");
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last].1
    }

    fn head(&mut self, name: &str, indices: &[u32], size: u8) -> &mut Vec<u8> {
        let body = self.body();
        body.push(((indices.len() as u8) << 6) | size);
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
        for index in indices {
            body.extend_from_slice(&index.to_le_bytes());
        }
        body
    }

    /// A value of up to 61 bytes.
    ///
    /// # Panics
    /// When it is longer.
    pub fn inline(&mut self, name: &str, indices: &[u32], value: &[u8]) -> &mut Self {
        assert!(value.len() < 62);
        self.head(name, indices, value.len() as u8).extend_from_slice(value);
        self
    }

    fn sizes(&mut self, name: &str, indices: &[u32], size: u8, stored: usize, memory: usize) {
        let old = self.magic & 0xf == 0;
        let body = self.head(name, indices, size);
        for length in [stored, memory] {
            if old {
                body.extend_from_slice(&(length as u32).to_le_bytes());
            } else {
                body.extend_from_slice(&(length as u64).to_le_bytes());
            }
        }
    }

    fn padded(&mut self, padding: u16, data: &[u8]) -> &mut Self {
        let body = self.body();
        body.extend_from_slice(&padding.to_le_bytes());
        body.resize(body.len() + usize::from(padding), 0);
        body.extend_from_slice(data);
        self
    }

    /// A plain block (63).
    pub fn block(&mut self, name: &str, indices: &[u32], padding: u16, data: &[u8]) -> &mut Self {
        self.sizes(name, indices, 63, data.len(), data.len());
        self.padded(padding, data)
    }

    /// A compressed block (62).
    ///
    /// # Panics
    /// When memory cannot be read.
    pub fn packed(&mut self, name: &str, indices: &[u32], data: &[u8]) -> &mut Self {
        let mut packed = Vec::new();
        let read = ZlibEncoder::new(data, Compression::fast()).read_to_end(&mut packed);
        assert!(read.is_ok(), "reading from memory");
        self.sizes(name, indices, 62, packed.len(), data.len());
        self.padded(0, &packed)
    }

    /// The file's bytes.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.magic, 8, self.groups.len() as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let mut at = 12 + 80 * self.groups.len();
        for (name, body) in &self.groups {
            let mut padded = [0; 64];
            padded[..name.len()].copy_from_slice(name.as_bytes());
            out.extend_from_slice(&padded);
            out.extend_from_slice(&(at as u64).to_le_bytes());
            out.extend_from_slice(&(body.len() as u64 + 2).to_le_bytes());
            at += body.len() + 2;
        }
        for (_, body) in &self.groups {
            out.extend_from_slice(body);
            out.extend_from_slice(&[0, 0]);
        }
        out.extend_from_slice(&[0, 0]);
        out
    }

    /// The `Snapshot` group with its three spare files, texts with the NULs VMware leaves.
    pub fn snapshot_group(&mut self, vmx: &[u8], nvram: &[u8], vmxf: &[u8]) -> &mut Self {
        let slack = |text: &[u8]| [text, &[0; 8192][..]].concat();
        self.group("Snapshot")
            .block("cfgFile", &[], 0, &slack(vmx))
            .block("nvramFile", &[], 0, nvram)
            .block("extendedConfigFile", &[], 0, &slack(vmxf))
    }
}

/// A snapshot of disks alone.
#[must_use]
pub fn disk_only(magic: u32, vmx: &[u8], nvram: &[u8], vmxf: &[u8]) -> Vec<u8> {
    Checkpoint::new(magic).snapshot_group(vmx, nvram, vmxf).finish()
}

/// A suspended machine of `pages` pages in two regions, memory inside the file or beside it.
#[must_use]
pub fn suspended(magic: u32, spare: [&[u8]; 3], pages: u32, inline: bool) -> Vec<u8> {
    let mut file = Checkpoint::new(magic);
    let text = |text: &str| {
        let mut padded = vec![0; 256];
        padded[..text.len()].copy_from_slice(text.as_bytes());
        padded
    };
    file.group("Checkpoint")
        .inline("fileversion", &[], &8_u32.to_le_bytes())
        .block("ProductName", &[], 0, &text("VMware ESX"))
        .block("VersionNumber", &[], 0, &text("7.0.3"))
        .block("BuildNumber", &[], 0, &text("build-19193900"))
        .inline("memSize", &[], &(pages / 256).to_le_bytes());
    file.group("GuestVars")
        .inline("guestvars.strings", &[0, 0], b"guestinfo.ip\0")
        .inline("guestvars.strings", &[0, 1], b"10.1.2.3\0")
        .inline("guestvars.strings", &[1, 0], b"guestinfo.admin.password\0")
        .inline("guestvars.strings", &[1, 1], super::sealed::SECRET.as_bytes());
    file.group("UUIDVMX").inline("BIOSUUID", &[], &[0x56; 16]);
    file.group("MStats").inline("vm.powerOnTimeStamp", &[], &1_700_000_000_u64.to_le_bytes());
    file.group("MKSVMX").block("imageData", &[], 0, b"\x89PNG\r\n\x1a\nforged");
    file.group("memory").inline("align_mask", &[], &0xffff_u32.to_le_bytes()).inline(
        "regionsCount",
        &[],
        &2_u32.to_le_bytes(),
    );
    let low = pages / 4 * 3;
    for (region, (ppn, page, size)) in
        [(0, 0, low), (0x10_0000, low, pages - low)].into_iter().enumerate()
    {
        for (name, value) in [("regionPPN", ppn), ("regionPageNum", page), ("regionSize", size)] {
            file.inline(name, &[region as u32], &value.to_le_bytes());
        }
    }
    if inline {
        let image: Vec<u8> = (0..pages).flat_map(|page| vec![page as u8; 4096]).collect();
        file.block("Memory", &[0, 0], 123, &image);
    }
    file.snapshot_group(spare[0], spare[1], spare[2]);
    file.finish()
}
