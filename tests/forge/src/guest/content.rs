//! The files that guests hold.

use std::{
    fs, io,
    io::Write as _,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use flate2::{Compression, Crc, write::GzEncoder, write::ZlibEncoder};

use super::{tool, utf8};
use crate::damage::Rng;

/// One file of a guest.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether nobody can tell its content from ciphertext (LZMA).
    pub is_excused: bool,
}

fn file(name: &str, bytes: Vec<u8>) -> File {
    File { name: name.to_owned(), bytes, is_excused: false }
}

/// Text, a program, and both packed in every common way; `scale` 1 gives about 10 MiB.
///
/// # Errors
/// When a packer is missing or fails.
pub fn files(scale: usize, scratch: &Path) -> io::Result<Vec<File>> {
    let mut rng = Rng::new(77);
    let text = text(&mut rng, scale << 21);
    // A real program of some megabytes that every Debian has: the test's own would be another
    // after every build.
    let mut program = fs::read("/usr/bin/perl").or_else(|_| fs::read(std::env::current_exe()?))?;
    program.truncate((scale * 3) << 20);
    let sources = [text.as_slice(), &program].concat();
    let raw = scratch.join("raw.bin");
    fs::write(&raw, &sources)?;
    // Archives keep it.
    let then = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(&raw)?.set_modified(then)?;
    let half = scratch.join("half.bin");
    fs::write(&half, &sources[..sources.len() * 2 / 5])?;
    let pack = |name: &str, arguments: &[&str]| tool(name, arguments, Some(&raw));
    // Rarer on real disks than ZIP and gzip.
    let rare = |name: &str, arguments: &[&str]| tool(name, arguments, Some(&half));
    let excused = |name: &str, bytes| File { is_excused: true, ..file(name, bytes) };
    let seven = scratch.join("made.7z");
    let zip = scratch.join("made.zip");
    let _old = (fs::remove_file(&seven), fs::remove_file(&zip));
    tool("7z", &["a", "-bd", "-mx=1", utf8(&seven), utf8(&raw)], None)?;
    tool("7z", &["a", "-bd", "-tzip", "-mx=5", utf8(&zip), utf8(&raw)], None)?;
    Ok(vec![
        file("notes.log", text.clone()),
        file("program.bin", program.clone()),
        file("wide.txt", text.iter().take(1 << 19).flat_map(|&b| [b, 0]).collect()),
        file("table.dat", table(&mut rng, 1 << 20)),
        file("backup.tar.gz", gzip(&sources)?),
        file("package.zip", fs::read(&zip)?),
        file("layer.zst", rare("zstd", &["-q", "-3", "-c"])?),
        file("old.bz2", rare("bzip2", &["-c"])?),
        excused("kernel.xz", pack("xz", &["-1", "-c"])?),
        excused("share.7z", fs::read(&seven)?),
        file("photo.jpg", jpeg(&mut rng, 700_000)),
        file("clip.mp4", mp4(&mut rng, 900_000)),
        file("scan.png", png(&sources)?),
        file("paper.pdf", pdf(&sources)?),
    ])
}

/// Words of a small language, each line a time stamp and a few of them.
fn text(rng: &mut Rng, length: usize) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "the", "disk", "of", "machine", "was", "started", "at", "night", "error", "user", "login",
        "from", "backup", "and", "mail", "server", "closed", "with", "status", "file", "not",
        "found", "request", "denied",
    ];
    let mut out = Vec::with_capacity(length + 80);
    let mut time = 1_700_000_000_u64;
    while out.len() < length {
        time += rng.within(0, 90);
        out.extend(format!("{time} [{:04x}]", rng.within(0, 65_536)).bytes());
        for _ in 0..rng.within(4, 12) {
            out.push(b' ');
            out.extend(rng.pick(&WORDS).bytes());
        }
        out.push(b'\n');
    }
    out.truncate(length);
    out
}

/// Fixed records of small numbers, as databases keep them.
fn table(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 32);
    let mut id = 0_u32;
    while out.len() < length {
        id += 1;
        out.extend(id.to_le_bytes());
        out.extend((rng.within(0, 5000) as u32).to_le_bytes());
        out.extend((rng.within(0, 1 << 40)).to_le_bytes());
        out.extend([0; 16]);
    }
    out.truncate(length);
    out
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::new(6));
    packer.write_all(bytes)?;
    packer.finish()
}

fn zlib(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::new(6));
    packer.write_all(bytes)?;
    packer.finish()
}

/// A JPEG's outside and entropy-coded bytes with their stuffing; no picture comes out of it.
fn jpeg(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut out = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00".to_vec();
    out.extend(b"\xff\xdb\x00\x43\x00");
    out.extend([16; 64]);
    out.extend(b"\xff\xc0\x00\x0b\x08\x04\x00\x04\x00\x01\x01\x11\x00");
    out.extend(b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00");
    while out.len() < length {
        let byte = rng.within(0, 256) as u8;
        // Huffman codes with long runs of ones are rare, so 0xff is.
        out.push(if byte == 0xff && rng.within(0, 3) > 0 { 0x7f } else { byte });
        if out.last() == Some(&0xff) {
            out.push(0);
        }
    }
    out.extend(b"\xff\xd9");
    out
}

/// Boxes, and video units with their lengths; the payload has no start-code look-alikes.
fn mp4(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut media = Vec::new();
    while media.len() < length {
        let size = 200 + rng.within(0, 6000) as usize;
        media.extend((size as u32).to_be_bytes());
        let start = media.len();
        media.push(0x41);
        while media.len() < start + size {
            let byte = rng.within(0, 256) as u8;
            let zeros = media[start..].iter().rev().take(2).filter(|b| **b == 0).count() == 2;
            media.push(if zeros && byte <= 3 { 0x17 } else { byte });
        }
    }
    let mut out = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomavc1".to_vec();
    out.extend((media.len() as u32 + 8).to_be_bytes());
    out.extend(b"mdat");
    out.extend(media);
    out.extend(b"\x00\x00\x00\x10moov\x00\x00\x00\x08free");
    out
}

fn png(pixels: &[u8]) -> io::Result<Vec<u8>> {
    let (width, height) = (1024_u32, (pixels.len() / 1025).min(1200) as u32);
    let raw: Vec<u8> = pixels
        .chunks_exact(1024)
        .take(height as usize)
        .flat_map(|row| std::iter::once(0).chain(row.iter().copied()))
        .collect();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 0, 0, 0, 0]);
    let mut chunk = |kind: &[u8; 4], body: &[u8]| {
        out.extend((body.len() as u32).to_be_bytes());
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(body);
        out.extend(kind);
        out.extend(body);
        out.extend(crc.sum().to_be_bytes());
    };
    chunk(b"IHDR", &header);
    for part in zlib(&raw)?.chunks(8192) {
        chunk(b"IDAT", part);
    }
    chunk(b"IEND", &[]);
    Ok(out)
}

fn pdf(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = b"%PDF-1.5\n".to_vec();
    for (number, part) in content.chunks(300_000).take(6).enumerate() {
        let packed = zlib(part)?;
        let head = format!(
            "{} 0 obj\n<< /Length {} /Filter /FlateDecode >>\nstream\n",
            number + 1,
            packed.len()
        );
        out.extend(head.bytes());
        out.extend(packed);
        out.extend(b"\nendstream\nendobj\n");
    }
    out.extend(b"trailer\n<< /Size 7 >>\nstartxref\n9\n%%EOF\n");
    Ok(out)
}
