//! Disks of any apparent size whose bytes are computed when they are read.

use std::{io, ops::Range, sync::Arc};

use vmglean_forge::damage::{Cipher, KeyStream};
use vmglean_formats::{ByteOffset, MediumError, ReadAt};

use crate::{families::Prediction, source::Source};

/// What fills a stretch.
#[derive(Clone)]
pub(super) enum Fill {
    /// A hole.
    Hole,
    /// Zeros that were written.
    Zero,
    /// Lines of text, different ones throughout.
    Text,
    /// Random bytes by this seed.
    Random(u64),
    /// These bytes over and over; the stretch begins at their first.
    Bytes(Arc<Vec<u8>>),
    /// Reading fails.
    Broken,
}

/// A disk made of layers: later ones lie over earlier ones.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) length: u64,
    layers: Vec<(Range<u64>, Fill)>,
    /// Damage by a rule, over all layers.
    damage: Option<Prediction>,
    /// Ciphertext over all layers, by ranges in order.
    cipher: Option<Arc<(Vec<Range<u64>>, KeyStream)>>,
}

impl Disk {
    pub(super) fn new(length: u64, fill: Fill) -> Self {
        Self { length, layers: vec![(0..length, fill)], damage: None, cipher: None }
    }

    pub(super) fn with(mut self, at: Range<u64>, fill: Fill) -> Self {
        self.layers.push((at, fill));
        self
    }

    pub(super) fn bytes(self, at: u64, bytes: &[u8]) -> Self {
        let end = at + bytes.len() as u64;
        self.with(at..end, Fill::Bytes(Arc::new(bytes.to_vec())))
    }

    /// Bytes behind the end.
    pub(super) fn followed_by(mut self, bytes: &[u8]) -> Self {
        let end = self.length;
        self.length += bytes.len() as u64;
        self.bytes(end, bytes)
    }

    pub(super) fn damaged(mut self, damage: Prediction) -> Self {
        self.damage = Some(damage);
        self
    }

    /// Encrypts `ranges`, which lie in order and apart.
    pub(super) fn encrypted(mut self, ranges: Vec<Range<u64>>, cipher: Cipher) -> Self {
        self.cipher = Some(Arc::new((ranges, KeyStream::new(7, cipher))));
        self
    }

    fn fill(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let end = at + buf.len() as u64;
        for (range, fill) in &self.layers {
            let (from, to) = (range.start.max(at), range.end.min(end));
            if from >= to {
                continue;
            }
            let slice = &mut buf[(from - at) as usize..(to - at) as usize];
            match fill {
                Fill::Hole | Fill::Zero => slice.fill(0),
                Fill::Text => text(slice, from),
                Fill::Random(seed) => random(slice, from, *seed),
                Fill::Bytes(bytes) => {
                    let (mut place, mut rest) = ((from - range.start) as usize, slice);
                    while !rest.is_empty() {
                        let source = &bytes[place % bytes.len()..];
                        let take = source.len().min(rest.len());
                        let (now, later) = rest.split_at_mut(take);
                        now.copy_from_slice(&source[..take]);
                        place += take;
                        rest = later;
                    }
                }
                Fill::Broken => return Err(io::Error::other("bad sector")),
            }
        }
        if let Some(cipher) = &self.cipher {
            let (ranges, key) = &**cipher;
            let first = ranges.partition_point(|range| range.end <= at);
            for (nth, run) in (first as u64..).zip(&ranges[first..]) {
                let (from, to) = (run.start.max(at), run.end.min(end));
                if from >= to {
                    break;
                }
                let piece = &mut buf[(from - at) as usize..(to - at) as usize];
                key.encrypt_part(piece, from, from - run.start, nth);
            }
        }
        if let Some(damage) = &self.damage {
            for comb in &damage.combs {
                let first = at.saturating_sub(comb.start_bytes + comb.run_bytes) / comb.step_bytes;
                for i in first..comb.count {
                    let start = comb.start_bytes + i * comb.step_bytes;
                    if start >= end.min(damage.size_bytes) {
                        break;
                    }
                    let stop = (start + comb.run_bytes).min(damage.size_bytes);
                    let (from, to) = (start.max(at), stop.min(end));
                    if from < to {
                        random(&mut buf[(from - at) as usize..(to - at) as usize], from, 77);
                    }
                }
            }
        }
        Ok(())
    }
}

impl ReadAt for Disk {
    fn len_bytes(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let wanted = at.0 + buf.len() as u64;
        if wanted > self.length {
            return Err(MediumError::End {
                end: ByteOffset(self.length),
                wanted: ByteOffset(wanted),
            });
        }
        self.fill(buf, at.0).map_err(|source| MediumError::Io {
            at,
            len: vmglean_formats::Bytes(buf.len() as u64),
            source,
        })
    }
}

impl Source for Disk {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        // Damage is written, so it fills holes: only undamaged disks have any here.
        if self.damage.is_some() || self.cipher.is_some() {
            return Ok((from < self.length).then_some(from..self.length));
        }
        let is_hole = |at: u64| {
            let top = self.layers.iter().rev().find(|(range, _)| range.contains(&at));
            matches!(top, Some((_, Fill::Hole)))
        };
        let mut edges: Vec<u64> =
            self.layers.iter().flat_map(|(range, _)| [range.start, range.end]).collect();
        edges.retain(|edge| *edge > from && *edge < self.length);
        edges.extend([from, self.length]);
        edges.sort_unstable();
        edges.dedup();
        let mut pairs = edges.windows(2).map(|pair| pair[0]..pair[1]);
        let Some(first) = pairs.find(|pair| !is_hole(pair.start)) else { return Ok(None) };
        let end = pairs.take_while(|pair| !is_hole(pair.start)).last();
        Ok(Some(first.start..end.map_or(first.end, |last| last.end)))
    }
}

fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Fills `buf`, which lies at `at`, from 32-byte pieces that `piece` gives by number.
fn by_pieces(buf: &mut [u8], at: u64, piece: impl Fn(u64) -> [u8; 32]) {
    let (mut place, mut rest) = (at, buf);
    while !rest.is_empty() {
        let bytes = piece(place / 32);
        let from = (place % 32) as usize;
        let take = (32 - from).min(rest.len());
        let (now, later) = rest.split_at_mut(take);
        now.copy_from_slice(&bytes[from..from + take]);
        place += take as u64;
        rest = later;
    }
}

pub(super) fn random(buf: &mut [u8], at: u64, seed: u64) {
    by_pieces(buf, at, |number| {
        let mut piece = [0; 32];
        for (i, word) in piece.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(
                &mix((number * 4 + i as u64) ^ seed.rotate_left(32)).to_le_bytes(),
            );
        }
        piece
    });
}

/// Lines of 32 letters, each with its own number.
fn text(buf: &mut [u8], at: u64) {
    by_pieces(buf, at, |mut number| {
        let mut line = *b"order 000000000000 was shipped.\n";
        for digit in line[6..18].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        line
    });
}

/// Where the volume of [`gpt_disk`] begins.
pub(super) const VOLUME: u64 = 1 << 20;

/// A disk with GPT at both ends and one NTFS volume with both boot sectors, filled with `fill`.
pub(super) fn gpt_disk(length: u64, fill: Fill) -> Disk {
    let volume_end = length - (1 << 20);
    let mut boot = vec![0u8; 512];
    boot[3..11].copy_from_slice(b"NTFS    ");
    boot[11..13].copy_from_slice(&512u16.to_le_bytes());
    boot[13] = 8;
    boot[40..48].copy_from_slice(&((volume_end - VOLUME) / 512 - 1).to_le_bytes());
    boot[48..56].copy_from_slice(&((TABLE - VOLUME) / 4096).to_le_bytes());
    boot[56..64].copy_from_slice(&((MIRROR - VOLUME) / 4096).to_le_bytes());
    boot[64] = 0xF6;
    boot[68] = 1;
    boot[510..].copy_from_slice(&[0x55, 0xAA]);
    let records: Vec<u8> = (0..64).flat_map(file_record).collect();
    with_gpt(Disk::new(length, Fill::Zero), VOLUME, volume_end)
        .with(VOLUME..volume_end, fill)
        .bytes(VOLUME, &boot)
        .bytes(MIRROR, &records[..4096])
        .bytes(TABLE, &records)
        .bytes(volume_end - 512, &boot)
}

/// Where the mirror of the first file records of [`gpt_disk`] lies, and where its file table.
pub(super) const MIRROR: u64 = VOLUME + 8192;
pub(super) const TABLE: u64 = VOLUME + 16384;

/// A file record without attributes.
fn file_record(number: u32) -> Vec<u8> {
    let mut record = vec![0u8; 1024];
    record[..4].copy_from_slice(b"FILE");
    for (at, value) in [(4, 0x30u16), (6, 3), (16, 1), (18, 1), (20, 0x38), (22, 1), (48, 7)] {
        record[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    for (at, value) in [(24, 0x40), (28, 1024), (44, number), (0x38, u32::MAX)] {
        record[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    record[510] = 7;
    record[1022] = 7;
    record
}

/// A disk with one MBR partition that holds an ext4 file system full of text.
pub(super) fn mbr_ext(length: u64) -> Disk {
    let (start, end) = (VOLUME, length - (1 << 20));
    let mut mbr = vec![0u8; 512];
    mbr[446 + 4] = 0x83;
    mbr[446 + 8..446 + 12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
    mbr[446 + 12..446 + 16].copy_from_slice(&(((end - start) / 512) as u32).to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xAA]);
    let mut block = vec![0u8; 1024];
    block[0..4].copy_from_slice(&65_536u32.to_le_bytes());
    block[4..8].copy_from_slice(&(((end - start) / 4096) as u32).to_le_bytes());
    block[0x18..0x1C].copy_from_slice(&2u32.to_le_bytes());
    block[0x20..0x24].copy_from_slice(&32_768u32.to_le_bytes());
    block[0x28..0x2C].copy_from_slice(&8192u32.to_le_bytes());
    block[0x38..0x3A].copy_from_slice(&0xEF53u16.to_le_bytes());
    block[0x68..0x78].copy_from_slice(b"uuid of a volume");
    let mut inodes = vec![0u8; 8192 * 128];
    // The root folder: kind and rights, links.
    inodes[128..130].copy_from_slice(&0x41EDu16.to_le_bytes());
    inodes[128 + 0x1A] = 3;
    inodes[128 + 0x1C] = 8;
    Disk::new(length, Fill::Zero)
        .bytes(0, &mbr)
        .with(start..end, Fill::Text)
        .with(start..start + 4096, Fill::Zero)
        .bytes(start + 1024, &block)
        .bytes(start + 4096, &descriptors((end - start).div_ceil(4096 * 32_768)))
        .bytes(start + INODES, &inodes)
        .bytes((start + 32_768 * 4096).min(end - 1024), &block)
}

/// Where the inode table of [`mbr_ext`] lies in its volume.
pub(super) const INODES: u64 = 502 * 4096;

/// Group descriptors: the first group holds the root folder alone, the others no inode.
fn descriptors(groups: u64) -> Vec<u8> {
    (0..groups)
        .flat_map(|group| {
            let mut one = vec![0u8; 32];
            for (at, block) in [(0, 500u32), (4, 501), (8, 502)] {
                one[at..at + 4].copy_from_slice(&block.to_le_bytes());
            }
            let free = if group == 0 { 8181u16 } else { 8192 };
            one[14..16].copy_from_slice(&free.to_le_bytes());
            one
        })
        .collect()
}

/// A hosted sparse extent: header, descriptor, tables that count up, grains of text.
pub(super) fn sparse(length: u64) -> Disk {
    let mut head = b"KDMV\x01\0\0\0\x03\0\0\0".to_vec();
    for value in [length / 512, 128, 1, 20] {
        head.extend_from_slice(&value.to_le_bytes());
    }
    head.extend_from_slice(&512u32.to_le_bytes());
    for value in [21u64, 1024, 2048] {
        head.extend_from_slice(&value.to_le_bytes());
    }
    head.extend_from_slice(b"\0\n \r\n\0\0");
    head.resize(512, 0);
    let tables: Vec<u8> =
        (0..262_144u32).flat_map(|entry| (2048 + entry * 128).to_le_bytes()).collect();
    Disk::new(length, Fill::Text)
        .bytes(0, &head)
        .bytes(512, b"# Disk DescriptorFile\nversion=1\nCID=12345678\n")
        .bytes(21 * 512, &tables[..500_000])
        .bytes(1024 * 512, &tables[..500_000])
}

/// Protective MBR and GPT at both ends, with one partition from `start` to `end`.
pub(super) fn with_gpt(disk: Disk, start: u64, end: u64) -> Disk {
    let length = disk.length;
    let last = length / 512 - 1;
    let mut mbr = vec![0u8; 512];
    mbr[446 + 4] = 0xEE;
    mbr[446 + 8..446 + 12].copy_from_slice(&1u32.to_le_bytes());
    mbr[446 + 12..446 + 16].copy_from_slice(&u32::MAX.to_le_bytes());
    mbr[510..].copy_from_slice(&[0x55, 0xAA]);
    let mut entries = vec![0u8; 128 * 128];
    entries[..16].copy_from_slice(b"basic data guid.");
    entries[16..32].copy_from_slice(b"this volume guid");
    entries[32..40].copy_from_slice(&(start / 512).to_le_bytes());
    entries[40..48].copy_from_slice(&(end / 512 - 1).to_le_bytes());
    let header = |own: u64, other: u64, entries_at: u64| {
        let mut header = vec![0u8; 512];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x10000u32.to_le_bytes());
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        header[24..32].copy_from_slice(&own.to_le_bytes());
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[40..48].copy_from_slice(&34u64.to_le_bytes());
        header[48..56].copy_from_slice(&(last - 33).to_le_bytes());
        header[72..80].copy_from_slice(&entries_at.to_le_bytes());
        header[80..84].copy_from_slice(&128u32.to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        header[88..92].copy_from_slice(&crc32fast::hash(&entries).to_le_bytes());
        let crc = crc32fast::hash(&header[..92]);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header
    };
    let backup_entries = last - 32;
    disk.bytes(0, &mbr)
        .bytes(512, &header(1, last, 2))
        .bytes(1024, &entries)
        .bytes(backup_entries * 512, &entries)
        .bytes(last * 512, &header(last, 1, backup_entries))
}
