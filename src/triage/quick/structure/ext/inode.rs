//! Inodes of a group: whether they are ones, and what they lead to.

use vmglean_formats::ext::is_inode;

use super::{Group, Volume};
use crate::triage::quick::structure::{Place, files::Files, u16_at, u32_at};

/// Whether the first inodes of a group are inodes.
pub(super) fn look(
    place: &mut Place<'_>,
    volume: &Volume,
    group: &Group,
    most: u64,
    files: &mut Files,
) -> bool {
    let made = group.made_inodes(&volume.shape);
    let used = volume.shape.inodes_per_group.saturating_sub(group.free_inodes);
    let Some(at) = volume.at(group.inode_table) else { return true };
    let length = made.saturating_mul(volume.shape.inode_bytes).min(most);
    if length == 0 || used == 0 {
        return true;
    }
    let Some(bytes) = usize::try_from(length).ok().and_then(|length| place.read(at, length)) else {
        return true;
    };
    let what = format!("inodes of ext group {} must be", group.number);
    // Which of them are used says a bitmap that the journal may still change.
    if bytes.iter().all(|byte| *byte == 0) {
        place.wreck(at, &bytes, &what);
        return false;
    }
    let size = usize::try_from(volume.shape.inode_bytes).unwrap_or(128);
    for (nth, inode) in (1u64..).zip(bytes.chunks_exact(size)) {
        let number = group.number * volume.shape.inodes_per_group + nth;
        let is_root = number == 2;
        let is_blank = inode.iter().all(|byte| *byte == 0);
        if is_blank && !is_root {
            continue;
        }
        if is_inode(inode, number, &volume.shape) {
            first_block(place, volume, inode, number, files);
            data(volume, inode, number, files);
            continue;
        }
        let from = at.saturating_add((nth - 1) * volume.shape.inode_bytes);
        place.wreck(from, inode, &what);
        return false;
    }
    true
}

/// Looks at the first block of a folder or a file.
fn first_block(
    place: &mut Place<'_>,
    volume: &Volume,
    inode: &[u8],
    number: u64,
    files: &mut Files,
) -> Option<()> {
    let (mode, flags) = (u16_at(inode, 0)?, u32_at(inode, 0x20)?);
    let is_live = u16_at(inode, 0x1A)? > 0 && u32_at(inode, 0x14)? == 0;
    // Bytes in the inode itself have no block; encrypted files are random by their owner's will.
    let is_plain = flags & (0x1000_0000 | 0x800) == 0;
    let (is_folder, is_file) = (mode >> 12 == 4, mode >> 12 == 8);
    let size = u32_at(inode, 4)?;
    let is_wanted = is_folder && files.wants_folders()
        // Below the eleventh are the journal and other files of the system's own.
        || is_file && number > 10 && size >= 512 && files.wants_files();
    if !is_live || !is_plain || !is_wanted {
        return None;
    }
    let block = if flags & 0x8_0000 == 0 {
        u64::from(u32_at(inode, 0x28)?)
    } else {
        let is_leaf = u16_at(inode, 0x28)? == 0xF30A && u16_at(inode, 0x2E)? == 0;
        let has_first = u16_at(inode, 0x2A)? > 0 && u32_at(inode, 0x34)? == 0;
        // Longer ones were set aside and never written.
        if !is_leaf || !has_first || u16_at(inode, 0x38)? > 0x8000 {
            return None;
        }
        (u64::from(u16_at(inode, 0x3A)?) << 32) | u64::from(u32_at(inode, 0x3C)?)
    };
    let at = volume.at(block).filter(|_| block > 0)?;
    let length = if is_file { u64::from(size).min(4096) } else { 512 };
    let bytes = place.read(at, usize::try_from(length).ok()?)?;
    if is_file {
        files.file(at, bytes);
    } else {
        // A folder's first entry is itself, named by one dot.
        let is_whole = u32_at(&bytes, 0).map(u64::from) == Some(number)
            && bytes.get(6) == Some(&1)
            && bytes.get(8) == Some(&b'.');
        files.folder(at, bytes, is_whole);
    }
    Some(())
}

/// Notes where a file's bytes lie, as far as its inode itself tells.
fn data(volume: &Volume, inode: &[u8], number: u64, files: &mut Files) -> Option<()> {
    let (mode, flags) = (u16_at(inode, 0)?, u32_at(inode, 0x20)?);
    let is_live = u16_at(inode, 0x1A)? > 0 && u32_at(inode, 0x14)? == 0;
    let is_plain = flags & (0x1000_0000 | 0x800) == 0;
    let size = u64::from(u32_at(inode, 4)?) | u64::from(u32_at(inode, 0x6C)?) << 32;
    // Below the eleventh are the system's own.
    if mode >> 12 != 8 || !is_live || !is_plain || number <= 10 || size < 512 {
        return None;
    }
    let blocks = size.div_ceil(volume.shape.block_bytes);
    let mut note = |from: u64, count: u64, block: u64| {
        // What was set aside behind the end was never written.
        let count = count.min(blocks.saturating_sub(from));
        if let Some(at) = volume.at(block).filter(|_| block > 0 && count > 0) {
            files.holds(at, count.saturating_mul(volume.shape.block_bytes), size);
        }
    };
    if flags & 0x8_0000 == 0 {
        for nth in [0_u64, 6] {
            note(nth, 1, u64::from(u32_at(inode, 0x28 + usize::try_from(nth).ok()? * 4)?));
        }
        return Some(());
    }
    if u16_at(inode, 0x28)? != 0xF30A || u16_at(inode, 0x2E)? != 0 {
        return None;
    }
    for nth in 0..usize::from(u16_at(inode, 0x2A)?.min(4)) {
        let extent = inode.get(0x34 + nth * 12..0x40 + nth * 12)?;
        let count = u16_at(extent, 4)?;
        let block = u64::from(u16_at(extent, 6)?) << 32 | u64::from(u32_at(extent, 8)?);
        // Longer ones were set aside and never written.
        if count <= 0x8000 {
            note(u64::from(u32_at(extent, 0)?), u64::from(count), block);
        }
    }
    Some(())
}
