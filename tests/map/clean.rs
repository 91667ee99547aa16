//! Files of many kinds, none of them touched: no word of ransomware may fall.

use std::fs;

use vmglean_forge::{
    damage::{Cipher, KeyStream},
    guest,
};

use crate::make::{Case, content, tool};

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    KeyStream::new(99, Cipher::Stream).encrypt(&mut bytes, 0, 0);
    bytes
}

fn headed(head: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = random(length);
    bytes[..head.len()].copy_from_slice(head);
    bytes
}

#[test]
fn no_clean_file_of_any_kind_is_called_encrypted() {
    let case = Case::new();
    let scratch = tempfile::tempdir().unwrap();
    let files = guest::files(1, scratch.path()).unwrap();
    let mut all: Vec<(String, Vec<u8>)> =
        files.iter().map(|file| (file.name.clone(), file.bytes.clone())).collect();
    let mut add = |name: &str, bytes: Vec<u8>| all.push((name.to_owned(), bytes));
    let text = content(3 << 20);
    add("key.bin", random(1 << 20));
    add("tiny.key", random(48));
    add("vault.hc", random(3 << 20));
    add("openssl.enc", headed(b"Salted__", 1 << 20));
    let mut luks = headed(b"LUKS\xba\xbe\x00\x02", 4 << 20);
    luks[8..1 << 20].fill(0);
    add("luks.img", luks);
    let mut bitlocker = headed(b"\xeb\x58\x90-FVE-FS-", 4 << 20);
    bitlocker[11..510].fill(0);
    bitlocker[510..512].copy_from_slice(&[0x55, 0xAA]);
    add("bitlocker-flat.vmdk", bitlocker);
    add("page.html", format!("<html>{}</html>", "<p>report</p>".repeat(9000)).into_bytes());
    add("data.json", format!("[{}]", "{\"a\":1},".repeat(20_000)).into_bytes());
    add("data.csv", "1;2;three;4.5\r\n".repeat(30_000).into_bytes());
    add("disk.raw", text.clone());
    add("zero.bin", vec![0; 1 << 20]);
    add("ones.bin", vec![0xFF; 1 << 20]);
    add("empty.bin", Vec::new());
    add("base64.txt", base64(&random(600_000)));
    add(
        "wave.wav",
        (0..600_000_u32).flat_map(|i| ((i.wrapping_mul(i) / 7) as u16).to_le_bytes()).collect(),
    );
    add("counter.bin", (0..300_000_u32).flat_map(u32::to_le_bytes).collect());
    add("floats.bin", (1..200_000).flat_map(|i| (1.0 / f64::from(i)).to_le_bytes()).collect());
    for (name, bytes) in &all {
        fs::write(case.disk(name), bytes).unwrap();
    }
    let ds = case.disk("");
    fs::write(scratch.path().join("plain"), &text).unwrap();
    let plain = scratch.path().join("plain");
    let plain = plain.to_str().unwrap();
    tool(&ds, "7z", &["a", "-bd", "-pSecret", "-tzip", "-mem=AES256", "secret.zip", plain]);
    tool(&ds, "7z", &["a", "-bd", "-pSecret", "-mhe=on", "secret.7z", plain]);
    tool(&ds, "xz", &["-k", "-9", "-e", "program.bin"]);
    tool(&ds, "tar", &["-cf", "all.tar", "notes.log", "photo.jpg", "package.zip"]);
    let mut count = 0;
    for entry in fs::read_dir(&ds).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        count += 1;
        for strict in [false, true] {
            let path = format!("ds/{name}");
            let mut args = vec!["--file", path.as_str()];
            if strict {
                args.push("--strict");
            }
            let (code, record) = case.map(&args);
            assert_eq!(record["summary"]["encrypted_bytes"], 0, "{name}: {record:#}");
            assert_eq!(code, 0, "{name}: {:#}", record["findings"]);
        }
        // Random bytes without a reason are never called intact either.
        if ["key.bin", "vault.hc", "luks.img", "secret.7z", "openssl.enc"].contains(&name.as_str())
        {
            let (_, record) = case.map(&["--file", &format!("ds/{name}")]);
            let sum = |word: &str| record["summary"][word].as_u64().unwrap();
            assert!(sum("undetermined_bytes") > sum("intact_bytes"), "{name}: {record:#}");
        }
    }
    assert!(count >= 30, "{count} kinds");
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes.iter().map(|b| LETTERS[usize::from(b & 63)]).collect()
}
