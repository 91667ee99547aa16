//! Guest disks with real files: file systems made by mkfs, filled with text, programs, archives
//! and media, so that a judgement meets what real disks hold.

mod content;
pub mod log;
pub mod seeds;
pub mod xfs;

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
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
    let mut command = Command::new(name);
    command.args(arguments).env("PATH", path).stdin(input);
    // The tools of ext4 write this time instead of the clock's.
    command.env("E2FSPROGS_FAKE_TIME", "1700000000");
    let out = command.output();
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

/// An ext4 volume of `size` bytes with these files, over the whole disk; the same bytes on every
/// run.
///
/// # Errors
/// When `mkfs.ext4` or `debugfs` is missing or fails.
pub fn ext4(size: u64, files: &[File], scratch: &Path) -> io::Result<Guest> {
    let (folder, image) = (scratch.join("ext4.d"), scratch.join("ext4.img"));
    fs::create_dir_all(&folder)?;
    fs::File::create(&image)?.set_len(size)?;
    let uuid = "11111111-2222-4333-8444-555555555555";
    let seed = format!("hash_seed={uuid},lazy_itable_init=0");
    let arguments = ["-q", "-F", "-b", "4096", "-U", uuid, "-E", &seed, utf8(&image)];
    tool("mkfs.ext4", &arguments, None)?;
    // One after the other in the order of the list; `mkfs -d` takes the folder's.
    let mut requests = String::new();
    for file in files {
        let from = folder.join(&file.name);
        fs::write(&from, &file.bytes)?;
        requests += &format!("write {} {}\n", utf8(&from), file.name);
    }
    let script = scratch.join("ext4.requests");
    fs::write(&script, requests)?;
    tool("debugfs", &["-w", "-f", utf8(&script), utf8(&image)], None)?;
    finish("ext4", fs::read(&image)?, files)
}

/// An NTFS volume of `size` bytes with these files, over the whole disk; the same bytes on every
/// run.
///
/// # Errors
/// When `mkntfs` or `ntfscp` is missing or fails.
pub fn ntfs(size: u64, files: &[File], scratch: &Path) -> io::Result<Guest> {
    let image = scratch.join("ntfs.img");
    fs::File::create(&image)?.set_len(size)?;
    let begun = file_time(SystemTime::now());
    let arguments = ["-F", "-Q", "-q", "-T", "-p", "0", "-H", "0", "-S", "0", utf8(&image)];
    tool("mkntfs", &arguments, None)?;
    for file in files {
        let from: PathBuf = scratch.join(&file.name);
        fs::write(&from, &file.bytes)?;
        tool("ntfscp", &["-f", "-q", utf8(&image), utf8(&from), &file.name], None)?;
    }
    let mut bytes = fs::read(&image)?;
    let during = begun.saturating_sub(FILE_TIME_SECOND)
        ..=file_time(SystemTime::now()).saturating_add(FILE_TIME_SECOND);
    for place in bytes.as_chunks_mut::<8>().0 {
        if during.contains(&u64::from_le_bytes(*place)) {
            *place = (SINCE_1601 + 1_700_000_000 * FILE_TIME_SECOND).to_le_bytes();
        }
    }
    finish("NTFS", bytes, files)
}

/// Steps of an NTFS time stamp in one second.
const FILE_TIME_SECOND: u64 = 10_000_000;
/// 1970 by the clock of NTFS, which begins in 1601.
const SINCE_1601: u64 = 11_644_473_600 * FILE_TIME_SECOND;

fn file_time(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    SINCE_1601 + (since.as_nanos() / 100) as u64
}

fn finish(name: &'static str, bytes: Vec<u8>, files: &[File]) -> io::Result<Guest> {
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
