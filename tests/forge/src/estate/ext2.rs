//! A small, whole ext2 file system (revision 1, blocks of 1 KiB, one group), as e2fsck takes it.

use std::collections::BTreeMap;

const BLOCK: usize = 1024;
const FIRST_INODE: u32 = 11;
const INODES: usize = 128;
const INODE_BYTES: usize = 128;
const TABLE: usize = 5;
/// 2023-05-06 10:00:00 UTC.
const TIME: u32 = 1_683_367_200;

struct Volume {
    bytes: Vec<u8>,
    next_block: usize,
    next_inode: u32,
    directories: u16,
}

#[derive(Default)]
struct Folder<'a> {
    files: BTreeMap<&'a str, &'a [u8]>,
    folders: BTreeMap<&'a str, Folder<'a>>,
}

impl<'a> Folder<'a> {
    fn add(&mut self, path: &'a str, content: &'a [u8]) {
        match path.split_once('/') {
            Some((folder, rest)) => self.folders.entry(folder).or_default().add(rest, content),
            None => {
                self.files.insert(path, content);
            }
        }
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

impl Volume {
    fn block(&mut self) -> u32 {
        self.next_block += 1;
        (self.next_block - 1) as u32
    }

    fn inode_number(&mut self) -> u32 {
        self.next_inode += 1;
        self.next_inode - 1
    }

    /// Stores `content` and its inode.
    fn store(&mut self, inode: u32, mode: u16, links: u16, content: &[u8]) {
        let mut pointers = [0_u32; 15];
        let mut indirect = Vec::new();
        let mut blocks = 0;
        for (n, piece) in content.chunks(BLOCK).enumerate() {
            let at = self.block();
            put(&mut self.bytes, at as usize * BLOCK, piece);
            blocks += 1;
            match pointers[..12].get_mut(n) {
                Some(pointer) => *pointer = at,
                None => indirect.push(at),
            }
        }
        assert!(indirect.len() <= BLOCK / 4, "the file needs a second level of pointers");
        if !indirect.is_empty() {
            let at = self.block();
            let table: Vec<u8> = indirect.iter().flat_map(|p| p.to_le_bytes()).collect();
            put(&mut self.bytes, at as usize * BLOCK, &table);
            pointers[12] = at;
            blocks += 1;
        }
        let at = TABLE * BLOCK + (inode as usize - 1) * INODE_BYTES;
        put(&mut self.bytes, at, &mode.to_le_bytes());
        put(&mut self.bytes, at + 4, &(content.len() as u32).to_le_bytes());
        for time in 0..3 {
            put(&mut self.bytes, at + 8 + time * 4, &TIME.to_le_bytes());
        }
        put(&mut self.bytes, at + 26, &links.to_le_bytes());
        put(&mut self.bytes, at + 28, &(blocks * 2_u32).to_le_bytes());
        for (n, pointer) in pointers.iter().enumerate() {
            put(&mut self.bytes, at + 40 + n * 4, &pointer.to_le_bytes());
        }
    }

    fn folder(&mut self, folder: &Folder<'_>, inode: u32, parent: u32) {
        self.directories += 1;
        let mut entries: Vec<(u32, u8, &str)> = vec![(inode, 2, "."), (parent, 2, "..")];
        for (name, content) in &folder.files {
            let file = self.inode_number();
            self.store(file, 0o100_644, 1, content);
            entries.push((file, 1, name));
        }
        for (name, inner) in &folder.folders {
            let number = self.inode_number();
            self.folder(inner, number, inode);
            entries.push((number, 2, name));
        }
        let mut content = vec![0; BLOCK];
        let mut at = 0;
        for (n, (number, kind, name)) in entries.iter().enumerate() {
            let own = (8 + name.len()).next_multiple_of(4);
            // The last entry reaches to the end of the block.
            let length = if n + 1 == entries.len() { BLOCK - at } else { own };
            put(&mut content, at, &number.to_le_bytes());
            put(&mut content, at + 4, &(length as u16).to_le_bytes());
            content[at + 6] = name.len() as u8;
            content[at + 7] = *kind;
            put(&mut content, at + 8, name.as_bytes());
            at += own;
        }
        let links = 2 + folder.folders.len() as u16;
        self.store(inode, 0o040_755, links, &content);
    }
}

/// A volume of `bytes` with these files, each by its path from the root.
///
/// # Panics
/// When the files do not fit, or `bytes` is more than one group can hold.
#[must_use]
pub(super) fn volume(bytes: usize, label: &str, seed: u8, files: &[(&str, &[u8])]) -> Vec<u8> {
    let blocks = bytes / BLOCK;
    assert!(blocks <= 8192, "one group holds 8 MiB");
    let table_blocks = INODES * INODE_BYTES / BLOCK;
    let mut volume = Volume {
        bytes: vec![0; bytes],
        next_block: TABLE + table_blocks,
        next_inode: FIRST_INODE,
        directories: 0,
    };
    let mut root = Folder::default();
    root.folders.entry("lost+found").or_default();
    for (path, content) in files {
        root.add(path, content);
    }
    volume.folder(&root, 2, 2);
    volume.finish(blocks, label, seed);
    volume.bytes
}

impl Volume {
    fn finish(&mut self, blocks: usize, label: &str, seed: u8) {
        assert!(self.next_block <= blocks, "the files do not fit");
        let free_blocks = (blocks - self.next_block) as u32;
        let free_inodes = INODES as u32 + 1 - self.next_inode;
        let mut block_map = vec![0xff; BLOCK];
        for free in self.next_block - 1..blocks - 1 {
            block_map[free / 8] &= !(1 << (free % 8));
        }
        let mut inode_map = vec![0xff; BLOCK];
        for free in self.next_inode as usize - 1..INODES {
            inode_map[free / 8] &= !(1 << (free % 8));
        }
        put(&mut self.bytes, 3 * BLOCK, &block_map);
        put(&mut self.bytes, 4 * BLOCK, &inode_map);
        let mut group = Vec::new();
        for number in [3_u32, 4, TABLE as u32] {
            group.extend(number.to_le_bytes());
        }
        for number in [free_blocks as u16, free_inodes as u16, self.directories] {
            group.extend(number.to_le_bytes());
        }
        put(&mut self.bytes, 2 * BLOCK, &group);
        let mut word = |at: usize, value: u32| {
            put(&mut self.bytes, BLOCK + at, &value.to_le_bytes());
        };
        word(0, INODES as u32);
        word(4, blocks as u32);
        word(12, free_blocks);
        word(16, free_inodes);
        word(20, 1);
        word(32, 8192);
        word(36, 8192);
        word(40, INODES as u32);
        word(44, TIME);
        word(48, TIME);
        // Mounts so far and allowed, magic, clean, continue on errors.
        word(52, 0xffff_0001);
        word(56, 0x0001_ef53);
        word(60, 0x0001);
        word(64, TIME);
        word(76, 1);
        word(84, FIRST_INODE);
        word(88, INODE_BYTES as u32);
        // Directory entries carry a type.
        word(96, 2);
        let uuid: Vec<u8> = (0..16_u8).map(|n| n.wrapping_mul(37) ^ seed ^ 0x5a).collect();
        put(&mut self.bytes, BLOCK + 104, &uuid);
        put(&mut self.bytes, BLOCK + 120, label.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::volume;

    #[test]
    fn e2fsck_finds_nothing_to_say_and_debugfs_reads_the_files_back() {
        let long: Vec<u8> = (0..100_000_u32).map(|n| (n / 7) as u8).collect();
        let files: [(&str, &[u8]); 3] =
            [("etc/hostname", b"web01\n"), ("srv/www/long.bin", &long), ("readme", b"hello")];
        let path = std::env::temp_dir().join(format!("forge-{}-ext2", std::process::id()));
        fs::write(&path, volume(700 << 10, "root", 7, &files)).unwrap();
        let tool = |name: &str| {
            let mut tool = Command::new(name);
            tool.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
            tool
        };
        let check = tool("e2fsck").args(["-f", "-n"]).arg(&path).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        let cat = tool("debugfs").args(["-R", "cat srv/www/long.bin"]).arg(&path).output().unwrap();
        assert_eq!(cat.stdout, long);
        fs::remove_file(&path).unwrap();
    }
}
