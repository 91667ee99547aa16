//! Virtual disks from a plain description: which bytes stand where. Every writer gives the file
//! and the truth about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    ops::Range,
    path::Path,
};

pub mod cowd;
pub mod descriptor;
pub mod seeds;
pub mod sesparse;
pub mod sparse;
pub mod stream;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

/// What a disk holds: bytes at virtual offsets. Later writes win.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Virtual size in sectors.
    pub capacity: u64,
    /// Virtual byte offset and the bytes written there.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// Byte offsets of grains that say "zeros" by themselves, where the format can.
    pub zeroed: BTreeSet<u64>,
}

/// What one grain of a forged extent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrainTruth {
    /// Not allocated.
    Absent,
    /// Zeros by its own word.
    Zero,
    /// Data.
    Data,
}

/// A file as pieces with holes between them.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Length of the file.
    pub length: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

/// A written extent and the truth about it.
#[derive(Clone, Debug)]
pub struct Forged {
    /// The file.
    pub image: Image,
    /// Virtual size in bytes.
    pub capacity: u64,
    /// Bytes a grain.
    pub grain: u64,
    /// Every grain of the disk.
    pub grains: BTreeMap<u64, GrainTruth>,
    /// File ranges that hold the extent's own structures, not guest data.
    pub metadata: Vec<Range<u64>>,
    disk: Disk,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new(capacity_sectors: u64) -> Self {
        Self { capacity: capacity_sectors, ..Self::default() }
    }

    /// The same disk with bytes written at a virtual offset.
    #[must_use]
    pub fn write(mut self, offset: u64, bytes: impl Into<Vec<u8>>) -> Self {
        self.writes.push((offset, bytes.into()));
        self
    }

    /// The same disk with `length` bytes that are all different in their neighbourhood, so that
    /// a grain in the wrong place shows.
    #[must_use]
    pub fn pattern(self, offset: u64, length: u64, seed: u64) -> Self {
        let bytes = pattern(offset, length, seed);
        self.write(offset, bytes)
    }

    /// The same disk with a grain that says "zeros".
    #[must_use]
    pub fn zero(mut self, offset: u64) -> Self {
        self.zeroed.insert(offset);
        self
    }

    /// Grain number and content of every grain that was written to, zero-filled to the grain.
    #[must_use]
    pub fn grains(&self, grain: u64) -> BTreeMap<u64, Vec<u8>> {
        let mut grains: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (offset, bytes) in &self.writes {
            let mut at = *offset;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let skip = at % grain;
                let take = usize::try_from(grain - skip).unwrap_or(usize::MAX).min(rest.len());
                let (here, after) = rest.split_at(take);
                let content = grains
                    .entry(at / grain)
                    .or_insert_with(|| vec![0; usize::try_from(grain).unwrap_or(0)]);
                let skip = usize::try_from(skip).unwrap_or(0);
                content[skip..skip + take].copy_from_slice(here);
                at += u64::try_from(take).unwrap_or(0);
                rest = after;
            }
        }
        grains
    }
}

/// Bytes that tell where they stand: every 8 bytes are a hash of seed and offset.
#[must_use]
pub fn pattern(offset: u64, length: u64, seed: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    let mut at = offset / 8;
    while u64::try_from(out.len()).unwrap_or(u64::MAX) < length + 8 {
        let mut word = (at ^ seed.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word ^= word >> 29;
        out.extend_from_slice(&word.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
        at += 1;
    }
    let skip = usize::try_from(offset % 8).unwrap_or(0);
    let length = usize::try_from(length).unwrap_or(0);
    out[skip..skip + length].to_vec()
}

impl Image {
    /// Puts bytes at an offset; the file grows as needed.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        let end = at + u64::try_from(bytes.len()).unwrap_or(0);
        self.length = self.length.max(end);
        if !bytes.is_empty() {
            self.pieces.insert(at, bytes.to_vec());
        }
    }

    /// Puts a little-endian number at an offset.
    pub fn put_u32(&mut self, at: u64, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    /// Puts a little-endian number at an offset.
    pub fn put_u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// The whole file in memory, for small ones.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(self.length).unwrap_or(0)];
        for (at, bytes) in &self.pieces {
            let at = usize::try_from(*at).unwrap_or(0);
            out[at..at + bytes.len()].copy_from_slice(bytes);
        }
        out
    }

    /// Writes the file with holes between its pieces.
    ///
    /// # Errors
    /// The system's word.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.set_len(self.length)?;
        for (at, bytes) in &self.pieces {
            file.seek(SeekFrom::Start(*at))?;
            file.write_all(bytes)?;
        }
        file.flush()
    }
}

impl Forged {
    fn new(disk: &Disk, grain: u64) -> Self {
        let mut grains = BTreeMap::new();
        for at in &disk.zeroed {
            grains.insert(at / grain, GrainTruth::Zero);
        }
        for index in disk.grains(grain).keys() {
            grains.insert(*index, GrainTruth::Data);
        }
        Self {
            image: Image::default(),
            capacity: disk.capacity * SECTOR,
            grain,
            grains,
            metadata: Vec::new(),
            disk: disk.clone(),
        }
    }

    fn meta(&mut self, at: u64, length: u64) {
        if length > 0 {
            self.metadata.push(at..at + length);
        }
    }

    /// What grain `index` says.
    #[must_use]
    pub fn grain_truth(&self, index: u64) -> GrainTruth {
        self.grains.get(&index).copied().unwrap_or(GrainTruth::Absent)
    }

    /// The whole virtual disk, absent parts as zeros. For small disks.
    #[must_use]
    pub fn truth(&self) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(self.capacity).unwrap_or(0)];
        for (index, bytes) in self.disk.grains(self.grain) {
            let at = usize::try_from(index * self.grain).unwrap_or(0);
            let take = bytes.len().min(out.len().saturating_sub(at));
            out[at..at + take].copy_from_slice(&bytes[..take]);
        }
        out
    }

    /// Whether this byte of the file belongs to the extent's own structures.
    #[must_use]
    pub fn is_metadata(&self, at: u64) -> bool {
        self.metadata.iter().any(|range| range.contains(&at))
    }
}

/// `value` rounded up to a multiple of `step`.
pub(crate) fn up(value: u64, step: u64) -> u64 {
    value.div_ceil(step) * step
}
