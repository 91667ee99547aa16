//! Guest disks with real files: file systems made by mkfs, filled with text, programs, archives
//! and media, so that a judgement meets what real disks hold.

mod content;
pub mod seeds;

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub use content::{File, files};

/// Block length by which excused content is recognised.
const BLOCK: usize = 4096;

/// A disk's bytes before any attack.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What it is.
    pub name: &'static str,
    /// The whole disk.
    pub bytes: Vec<u8>,
    /// One a 4 KiB block: whether it holds data that nobody can tell from ciphertext (LZMA, a
    /// volume that its owner encrypted).
    pub excused: Vec<bool>,
}

/// Runs a tool of `/sbin` or elsewhere.
fn tool(name: &str, arguments: &[&str], stdin: Option<&Path>) -> io::Result<Vec<u8>> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/sbin:/usr/sbin";
    let input = match stdin {
        Some(file) => Stdio::from(fs::File::open(file)?),
        None => Stdio::null(),
    };
    let out = Command::new(name).args(arguments).env("PATH", path).stdin(input).output();
    let out = out.map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}; see tests/run")))?;
    if out.status.success() {
        Ok(out.stdout)
    } else {
        Err(io::Error::other(format!("{name}: {}", String::from_utf8_lossy(&out.stderr))))
    }
}

fn utf8(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// An ext4 volume of `size` bytes with these files, over the whole disk.
///
/// # Errors
/// When `mkfs.ext4` is missing or fails.
pub fn ext4(size: u64, files: &[File], scratch: &Path) -> io::Result<Guest> {
    let (folder, image) = (scratch.join("ext4.d"), scratch.join("ext4.img"));
    fs::create_dir_all(&folder)?;
    for file in files {
        fs::write(folder.join(&file.name), &file.bytes)?;
    }
    fs::File::create(&image)?.set_len(size)?;
    let uuid = "11111111-2222-4333-8444-555555555555";
    let seed = format!("hash_seed={uuid},lazy_itable_init=0");
    let arguments =
        ["-q", "-F", "-b", "4096", "-U", uuid, "-E", &seed, "-d", utf8(&folder), utf8(&image)];
    tool("mkfs.ext4", &arguments, None)?;
    finish("ext4", &image, files)
}

/// An NTFS volume of `size` bytes with these files, over the whole disk.
///
/// # Errors
/// When `mkntfs` or `ntfscp` is missing or fails.
pub fn ntfs(size: u64, files: &[File], scratch: &Path) -> io::Result<Guest> {
    let image = scratch.join("ntfs.img");
    fs::File::create(&image)?.set_len(size)?;
    tool("mkntfs", &["-F", "-Q", "-q", "-p", "0", "-H", "0", "-S", "0", utf8(&image)], None)?;
    for file in files {
        let from: PathBuf = scratch.join(&file.name);
        fs::write(&from, &file.bytes)?;
        tool("ntfscp", &["-f", "-q", utf8(&image), utf8(&from), &file.name], None)?;
    }
    finish("NTFS", &image, files)
}

fn finish(name: &'static str, image: &Path, files: &[File]) -> io::Result<Guest> {
    let bytes = fs::read(image)?;
    let mut alike = HashSet::new();
    for file in files.iter().filter(|f| f.is_excused) {
        alike.extend(file.bytes.chunks_exact(BLOCK).map(<[u8]>::to_vec));
        // The last block of a file is filled up with zeros.
        let mut last = file.bytes.chunks_exact(BLOCK).remainder().to_vec();
        last.resize(BLOCK, 0);
        alike.insert(last);
    }
    let excused = bytes.chunks(BLOCK).map(|block| alike.contains(block)).collect();
    Ok(Guest { name, bytes, excused })
}

/// The first half of `guest`, and a LUKS volume behind it.
#[must_use]
pub fn with_luks(guest: &Guest, seed: u64) -> Guest {
    let mut made = guest.clone();
    made.name = "ext4 and LUKS";
    let half = made.bytes.len() / 2 / BLOCK * BLOCK;
    let volume = &mut made.bytes[half..];
    volume.fill(0);
    volume[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
    let key = crate::damage::KeyStream::new(seed, crate::damage::Cipher::Stream);
    let payload = volume.len().min(1 << 20);
    key.encrypt(&mut volume[payload..], 7 << 40, 0);
    for block in made.excused.iter_mut().skip(half / BLOCK) {
        *block = true;
    }
    made
}
