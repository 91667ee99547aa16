//! Lockers at work on the estate, and their notes: invented texts that lead nowhere.

use super::{Estate, machine::Made};
use crate::damage::{Cipher, Damage, Geometry, Trailer, Truth};

/// One locker.
#[derive(Clone, Debug)]
pub(super) struct Locker {
    /// Appended to names; empty where names stay.
    pub(super) suffix: &'static str,
    /// Appended to content.
    pub(super) trailer: Option<Trailer>,
    /// How it encrypts.
    pub(super) cipher: Cipher,
    /// Name of its note, `None` where it leaves none.
    pub(super) note: Option<(&'static str, &'static str)>,
    /// Family that the note is of.
    pub(super) family: &'static str,
}

impl Locker {
    /// Encrypts one file as `geometry` says, appends, renames; answers with what it did.
    pub(super) fn hit(&self, estate: &mut Estate, path: &str, geometry: Geometry) -> Truth {
        let seed = path.bytes().fold(17_u64, |seed, byte| seed * 31 % 1_000_003 + u64::from(byte));
        let damage = Damage { geometry, cipher: self.cipher, seed, trailer: self.trailer.clone() };
        let mut content = estate.take(path);
        let truth = damage.apply(&mut content);
        estate.put(format!("{path}{}", self.suffix), content);
        truth
    }

    /// Encrypts these small files of a machine whole.
    pub(super) fn hit_small(&self, estate: &mut Estate, machine: &Made, files: &[&str]) {
        for file in files {
            self.hit(estate, &machine.path(file), Geometry::Whole { start: 0 });
        }
    }

    /// Leaves the note in a folder.
    pub(super) fn leave_note(&self, estate: &mut Estate, folder: &str) {
        if let Some((name, text)) = self.note {
            let path = format!("{folder}/{name}");
            estate.put(path.clone(), text);
            estate.notes.push((path, self.family.to_owned()));
        }
    }
}

/// Encrypted share of a file that `truth` tells.
#[must_use]
pub(super) fn share(truth: &Truth) -> f64 {
    truth.encrypted_bytes() as f64 / truth.original_bytes as f64
}

fn locker(
    suffix: &'static str,
    trailer: Option<Trailer>,
    note: (&'static str, &'static str),
    family: &'static str,
) -> Locker {
    Locker { suffix, trailer, cipher: Cipher::Stream, note: Some(note), family }
}

fn opaque(random: usize, marker: &[u8]) -> Option<Trailer> {
    Some(Trailer::Opaque { random, marker: marker.to_vec() })
}

/// Akira of 2023: spots over the whole file, geometry in clear at the end.
#[must_use]
pub(super) fn akira() -> Locker {
    let text = "Hi friends,\r\n\r\nWhatever who you are and what your title is, this text was \
        made up for a sample.\r\nIn a real one stands that your company's files are encrypted \
        and your data will be published, and a chat to talk to the attacker.\r\n\r\nChat: \
        http://chat.example.invalid/ (leads nowhere)\r\nYour ID: SAMPLE-0001-AKRA\r\n";
    let trailer = Some(Trailer::ModePercentSize { mode: 2, percent: 50 });
    locker(".akira", trailer, ("akira_readme.txt", text), "Akira (C++)")
}

/// Qilin: a suffix made for the victim, a text mark at the end.
#[must_use]
pub(super) fn qilin() -> Locker {
    let text = "-- Qilin\r\n\r\nYour network/system was encrypted.\r\nEncrypted files have new \
        extension.\r\n\r\n-- Compromising and sensitive data\r\nThis note was made up for a \
        sample; a real one threatens to publish your data.\r\n\r\nExtension: MmXReVIxLV\r\n\
        Domain: portal.example.invalid\r\nlogin: sample-0002\r\n";
    let trailer = opaque(520, b"-----END CIPHERTEXT BLOCK-----");
    locker(".MmXReVIxLV", trailer, ("README-RECOVER-MmXReVIxLV.txt", text), "Qilin")
}

/// INC: a million bytes of every three million, its name at the end.
#[must_use]
pub(super) fn inc() -> Locker {
    let text = "~~~~ INC Ransom ~~~~\n\nThis note was made up for a sample. In a real one stands \
        that your data is stolen and encrypted, and where to pay.\n\nYour personal ID: \
        5A3MPLE0003\nhttp://blog.example.invalid/ (leads nowhere)\n";
    locker(".INC", opaque(32, b"INC"), ("INC-README.txt", text), "INC")
}

/// Babuk for ESXi: the first 512 MiB of disks and logs, 32 bytes at the end.
#[must_use]
pub(super) fn babuk() -> Locker {
    let text = "This note was made up for a sample.\nIn a real one stands that your files are \
        encrypted, that copies were stolen and will be published, and that you should contact us \
        by tor browser to get the decryption tool.\nhttp://babuk.example.invalid/ (leads nowhere)\n";
    locker(".babyk", opaque(32, b""), ("How To Restore Your Files.txt", text), "Babuk ESXi")
}

/// Conti for ESXi: the first mebibyte, geometry in clear at the end.
#[must_use]
pub(super) fn conti() -> Locker {
    let text = "All of your files are currently encrypted by CONTI strain.\n\nThis note was made \
        up for a sample; a real one says that your data will be published if you do not contact \
        us.\nhttp://conti.example.invalid/ (leads nowhere)\n";
    let trailer = Some(Trailer::ModePercentSize { mode: 0x26, percent: 50 });
    locker(".conti", trailer, ("CONTI_README.txt", text), "Conti ESXi")
}

/// Black Basta up to 1 GiB: 64 bytes of every 192, a counter and the campaign's mark at the end.
#[must_use]
pub(super) fn black_basta(size: u64) -> Locker {
    let text = "This note was made up for a sample.\nYour data are stolen and encrypted.\nThe \
        data will be published on a web site if you do not pay the ransom.\n\
        http://basta.example.invalid/ (leads nowhere)\nYour company id: sample-0006\n";
    let trailer =
        Some(Trailer::Progress { counter: size, marker: *b"\x8d\x02sample-\xf1\x77\x0e" });
    let note = ("instructions_read_me.txt", text);
    Locker {
        cipher: Cipher::SameEveryRun(64),
        ..locker(".basta", trailer, note, "Black Basta ELF")
    }
}

/// ESXiArgs: names stay, a sidecar beside each file, small files wholly encrypted.
#[must_use]
pub(super) fn esxi_args() -> Locker {
    let text = "<html><head><title>How to Restore Your Files</title></head><body><h1>Made up for \
        a sample</h1><p>A real one says that your company was hacked, that all files have been \
        encrypted and will be published unless bitcoin is sent, and not to try to use third party \
        software.</p><p>http://args.example.invalid/ (leads nowhere)</p></body></html>\n";
    locker("", None, ("How to Restore Your Files.html", text), "ESXiArgs wave 1")
}
