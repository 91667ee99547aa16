//! streamOptimized extents in the layouts seen in the wild.

use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};

use super::{Disk, Forged, SECTOR, sparse::header, up};

/// Where the directory and the tables stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamLayout {
    /// Header says "at the end"; a table after each run of grains, then directory, footer, end.
    Footer,
    /// Directory and tables in front, grains, end mark, no footer (VMware's own library).
    Front,
    /// Directory and its redundant copy in front, no end mark (qemu-img).
    Qemu,
}

/// How to write a stream.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// Where the directory stands. An empty disk in [`StreamLayout::Footer`] is layout (d).
    pub layout: StreamLayout,
    /// Sectors a grain.
    pub grain: u64,
    /// Progress markers (type 4) between grains.
    pub progress: bool,
    /// Grain markers name their address; without, the header has 4 bytes.
    pub lba: bool,
    /// A descriptor inside.
    pub descriptor: Option<String>,
    /// Bytes behind the end.
    pub trailing: usize,
}

impl Default for StreamSpec {
    fn default() -> Self {
        Self {
            layout: StreamLayout::Footer,
            grain: 128,
            progress: false,
            lba: true,
            descriptor: None,
            trailing: 0,
        }
    }
}

/// zlib data of one grain.
#[must_use]
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

struct Writer {
    forged: Forged,
    next: u64,
    lba: bool,
}

impl Writer {
    fn marker(&mut self, value: u64, kind: u32) {
        let mut sector = vec![0; 512];
        sector[..8].copy_from_slice(&value.to_le_bytes());
        sector[12..16].copy_from_slice(&kind.to_le_bytes());
        self.forged.image.put(self.next * SECTOR, &sector);
        self.forged.meta(self.next * SECTOR, SECTOR);
        self.next += 1;
    }

    fn metadata(&mut self, bytes: &[u8]) {
        let length = up(u64::try_from(bytes.len()).unwrap_or(0), SECTOR);
        self.forged.image.put(self.next * SECTOR, bytes);
        self.forged.image.length = self.forged.image.length.max(self.next * SECTOR + length);
        self.forged.meta(self.next * SECTOR, length);
        self.next += length / SECTOR;
    }

    fn grain(&mut self, lba: u64, bytes: &[u8]) -> u32 {
        let at = self.next;
        let data = deflate(bytes);
        let mut out = Vec::new();
        if self.lba {
            out.extend_from_slice(&lba.to_le_bytes());
        }
        out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&data);
        out.resize(
            usize::try_from(up(u64::try_from(out.len()).unwrap_or(0), SECTOR)).unwrap_or(0),
            0,
        );
        self.forged.image.put(at * SECTOR, &out);
        self.next += u64::try_from(out.len()).unwrap_or(0) / SECTOR;
        u32::try_from(at).unwrap_or(0)
    }
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes the extent.
#[must_use]
pub fn write(disk: &Disk, spec: &StreamSpec) -> Forged {
    let grain_bytes = spec.grain * SECTOR;
    let tables = disk.capacity.div_ceil(spec.grain).div_ceil(512);
    let gd_sectors = (tables * 4).div_ceil(512);
    let copy = gd_sectors + 4 * tables;
    let descriptor = if spec.descriptor.is_some() { (1, 20) } else { (0, 0) };
    let first = if spec.descriptor.is_some() { 21 } else { 1 };
    let flags = 1 | 0x1_0000 | if spec.lba { 0x2_0000 } else { 0 };
    let copies: Vec<u64> = match spec.layout {
        StreamLayout::Footer => Vec::new(),
        StreamLayout::Front => vec![first],
        StreamLayout::Qemu => vec![first, first + copy],
    };
    let overhead = up(first + copy * u64::try_from(copies.len()).unwrap_or(0), spec.grain);
    let (flags, places) = match copies.as_slice() {
        [] => (flags, (0, u64::MAX, overhead)),
        [gd] => (flags, (0, *gd, overhead)),
        more => (flags | 2, (more[0], more[1], overhead)),
    };
    let head = header(3, flags, disk.capacity, spec.grain, descriptor, places, 1);
    let mut writer =
        Writer { forged: Forged::new(disk, grain_bytes), next: overhead, lba: spec.lba };
    writer.forged.grains.retain(|_, truth| *truth == super::GrainTruth::Data);
    writer.forged.image.put(0, &head);
    writer.forged.image.length = overhead * SECTOR;
    writer.forged.meta(0, SECTOR);
    if let Some(text) = &spec.descriptor {
        writer.forged.image.put(SECTOR, text.as_bytes());
        writer.forged.meta(SECTOR, 20 * SECTOR);
    }
    let mut directory = vec![0u32; usize::try_from(tables).unwrap_or(0)];
    let mut table = vec![0u32; 512];
    let mut all = vec![vec![0u32; 512]; directory.len()];
    let grains: Vec<_> = disk.grains(grain_bytes).into_iter().collect();
    for (nth, (index, bytes)) in grains.iter().enumerate() {
        if spec.progress && nth % 3 == 1 {
            writer.marker(1, 4);
            writer.metadata(&[0; 512]);
        }
        let sector = writer.grain(index * spec.grain, bytes);
        let (which, slot) =
            (usize::try_from(index / 512).unwrap_or(0), usize::try_from(index % 512).unwrap_or(0));
        table[slot] = sector;
        all[which][slot] = sector;
        let last = grains.get(nth + 1).is_none_or(|(next, _)| next / 512 != index / 512);
        if last && spec.layout == StreamLayout::Footer {
            writer.marker(4, 1);
            directory[which] = u32::try_from(writer.next).unwrap_or(0);
            writer.metadata(&words(&table));
            table = vec![0; 512];
        }
    }
    match spec.layout {
        StreamLayout::Footer => {
            writer.marker(gd_sectors, 2);
            let gd = writer.next;
            let mut bytes = words(&directory);
            bytes.resize(usize::try_from(gd_sectors * SECTOR).unwrap_or(0), 0);
            writer.metadata(&bytes);
            writer.marker(1, 3);
            let places = (0, gd, overhead);
            writer.metadata(&header(3, flags, disk.capacity, spec.grain, descriptor, places, 1));
            writer.marker(0, 0);
        }
        StreamLayout::Front | StreamLayout::Qemu => {
            for start in &copies {
                let mut gd = Vec::new();
                for (which, table) in (0u64..).zip(&all) {
                    let at = start + gd_sectors + 4 * which;
                    gd.push(u32::try_from(at).unwrap_or(0));
                    writer.forged.image.put(at * SECTOR, &words(table));
                }
                writer.forged.image.put(start * SECTOR, &words(&gd));
                writer.forged.meta(start * SECTOR, copy * SECTOR);
            }
            if spec.layout == StreamLayout::Front {
                writer.marker(0, 0);
            }
        }
    }
    let end = writer.forged.image.length.max(writer.next * SECTOR);
    writer.forged.image.length = end;
    writer.forged.image.put(end, &vec![0xee; spec.trailing]);
    writer.forged
}
