//! Btrfs: the superblock, its mirrors, and the root of the chunk tree.
//!
//! Layout after the Btrfs documentation of its disk format. The checksum is asked where it is
//! CRC-32C, which it is by default.

use std::ops::Range;

use vmglean_formats::ext::crc32c;

use super::{Place, structure, u16_at, u32_at, u64_at};

/// Where the superblock lies in its device, and where its mirrors do.
const SUPERBLOCK: u64 = 0x1_0000;
const MIRRORS: [u64; 2] = [0x400_0000, 0x40_0000_0000];
const SUPERBLOCK_BYTES: usize = 4096;
const MAGIC: &[u8] = b"_BHRfS_M";
/// Chunks that the superblock names, and the head of each.
const SYSTEM_CHUNKS: usize = 0x32B;
const MOST_SYSTEM_BYTES: usize = 2048;
const KEY_BYTES: usize = 17;
const CHUNK_BYTES: usize = 48;
const STRIPE_BYTES: usize = 32;

/// Whether a superblock stands there. Looks at the rest if it does.
pub(super) fn look(place: &mut Place<'_>, at: &Range<u64>) -> bool {
    let Some(from) = at.start.checked_add(SUPERBLOCK).filter(|from| *from < at.end) else {
        return false;
    };
    let Some(block) = place.read(from, SUPERBLOCK_BYTES) else { return false };
    if block.get(0x40..0x48) != Some(MAGIC) {
        return false;
    }
    if is_right(&block, &block) {
        place.found.intact(from, SUPERBLOCK_BYTES as u64, "Btrfs superblock");
    } else {
        let detail = "the Btrfs superblock's checksum is wrong";
        place.found.damaged.push(structure(from, SUPERBLOCK_BYTES as u64, detail));
    }
    // The device may be smaller than its partition.
    let device = u64_at(&block, 0xD1).unwrap_or(0);
    for mirror in MIRRORS {
        let inside = mirror.saturating_add(SUPERBLOCK_BYTES as u64);
        let Some(from) = at.start.checked_add(mirror) else { continue };
        if inside > device || from >= at.end {
            continue;
        }
        let Some(copy) = place.read(from, SUPERBLOCK_BYTES) else { continue };
        let same = copy.get(0x20..0x30) == block.get(0x20..0x30);
        if copy.get(0x40..0x48) == Some(MAGIC) && same && is_right(&copy, &block) {
            place.found.intact(from, SUPERBLOCK_BYTES as u64, "mirror of the Btrfs superblock");
        } else {
            place.wreck(from, &copy, "the mirror of the Btrfs superblock must be");
        }
    }
    chunk_root(place, at, &block);
    true
}

/// The root of the chunk tree, in each of its copies on this device.
fn chunk_root(place: &mut Place<'_>, at: &Range<u64>, block: &[u8]) -> Option<()> {
    let logical = u64_at(block, 0x58)?;
    let node = u32_at(block, 0x94).filter(|node| (4096..=65_536).contains(node))?;
    let copies = places(block, logical)?;
    let mut whole = 0_u64;
    for copy in &copies {
        let from = at.start.checked_add(*copy)?;
        let Some(bytes) = place.read(from, usize::try_from(node).ok()?) else { continue };
        if bytes.len() as u64 == u64::from(node)
            && is_right(&bytes, block)
            && u64_at(&bytes, 0x30) == Some(logical)
        {
            whole += 1;
        } else {
            place.wreck(from, &bytes, "the root of Btrfs's chunk tree must be");
        }
    }
    if whole > 0 && whole == copies.len() as u64 {
        place.found.intact(
            at.start.checked_add(*copies.first()?)?,
            node.into(),
            "root of Btrfs's chunk tree",
        );
    }
    Some(())
}

/// Where a logical place of the system's chunks lies on this device.
fn places(block: &[u8], logical: u64) -> Option<Vec<u64>> {
    let length = usize::try_from(u32_at(block, 0xA0)?).ok()?.min(MOST_SYSTEM_BYTES);
    let own = u64_at(block, 0xC9)?;
    let mut rest = block.get(SYSTEM_CHUNKS..SYSTEM_CHUNKS + length)?;
    while rest.len() > KEY_BYTES + CHUNK_BYTES {
        let begin = u64_at(rest, 9)?;
        let chunk = rest.get(KEY_BYTES..)?;
        let stripes = usize::from(u16_at(chunk, 44)?);
        let is_inside = logical.checked_sub(begin).filter(|by| Some(*by) < u64_at(chunk, 0));
        // Stripes of parity and of several devices are spread otherwise.
        let is_plain = u64_at(chunk, 24)? & 0x1C8 == 0;
        if let Some(by) = is_inside.filter(|_| is_plain) {
            let all = chunk.get(CHUNK_BYTES..)?.chunks_exact(STRIPE_BYTES).take(stripes);
            let mine = all.filter(|stripe| u64_at(stripe, 0) == Some(own));
            return mine.map(|stripe| u64_at(stripe, 8)?.checked_add(by)).collect();
        }
        rest = chunk.get(CHUNK_BYTES.checked_add(stripes.checked_mul(STRIPE_BYTES)?)?..)?;
    }
    None
}

/// Whether the checksum in front of `bytes` is theirs; other kinds than CRC-32C are believed.
fn is_right(bytes: &[u8], superblock: &[u8]) -> bool {
    if u16_at(superblock, 0xC4) != Some(0) {
        return true;
    }
    let sum = !crc32c(u32::MAX, bytes.get(0x20..).unwrap_or_default());
    u32_at(bytes, 0) == Some(sum)
}
