//! VMware's own encryption is recognised, whole or damaged.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]

use proptest::prelude::*;
use vmglean_forge::vm::{hurt::every_hurt, sealed};

use super::*;
use crate::{Checked, Fields};

fn texts<T>(checked: &Checked<T>) -> Vec<String> {
    checked.defects.iter().map(ToString::to_string).collect()
}

#[test]
fn the_length_follows_from_the_content() {
    for content in [0, 1, 4064, 4065, 2_384_400] {
        let file = sealed::container(content);
        let found = EncryptedFile::parse(&file).unwrap();
        assert_eq!(texts(&found), Vec::<String>::new(), "{content}");
        assert_eq!(found.value.plaintext.0, content);
    }
    let file = sealed::container(2_384_400);
    assert_eq!(file.len(), 2_408_448);
}

#[test]
fn each_bad_container_is_named() {
    let whole = sealed::container(9000);
    let with = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let huge = with(24, &[0xff; 8]);
    for (file, defect) in [
        (with(4, &[9]), "EncryptedFile.version at 0x4: is 9, expected 1"),
        (with(100, &[1]), "EncryptedFile.reserved at 0x64: unknown value 0x1"),
        (
            whole[..9000].to_vec(),
            "EncryptedFile.length at 0x2328: needs 16384 bytes, 9000 are there",
        ),
        (
            [whole.as_slice(), b"x"].concat(),
            "EncryptedFile.length at 0x18: is 16385 bytes, expected 16384 bytes",
        ),
    ] {
        assert_eq!(texts(&EncryptedFile::parse(&file).unwrap()), [defect]);
    }
    assert!(!EncryptedFile::parse(&huge).unwrap().defects.is_empty());
    let error = |file: Vec<u8>| EncryptedFile::parse(&file).unwrap_err().to_string();
    assert_eq!(
        error(whole[..100].to_vec()),
        "EncryptedFile.header at 0x0: needs 4096 bytes, 100 are there"
    );
    assert_eq!(error(vec![1, 0, 0, 0]), "EncryptedFile.magic at 0x0: magic is 0x1, not 0x8943dd9e");
}

#[test]
fn an_envelope_tells_cipher_and_key_but_no_secret() {
    let found = Envelope::parse(&sealed::envelope(10_000)).unwrap();
    assert_eq!(texts(&found), Vec::<String>::new());
    assert_eq!(found.value.attribute("vmware.cipherName"), Some("AES-256-GCM"));
    assert_eq!(found.value.attribute("vmware.keyHash"), Some("32 bytes"));
    assert_eq!(found.value.body.0, 10_000);
    assert_eq!(found.value.fields().len(), 5);
    let cut = sealed::envelope(10_000)[..9000].to_vec();
    assert_eq!(
        texts(&Envelope::parse(&cut).unwrap()),
        ["DataTransformEnvelope.footer at 0x1328: the DataTransformAeadFooter block is missing"]
    );
}

#[test]
fn every_hurt_leaves_the_header_or_a_defect() {
    let whole = sealed::container(9000);
    let right = EncryptedFile::parse(&whole).unwrap().value;
    for (how, hurt) in every_hurt(&whole) {
        let Ok(found) = EncryptedFile::parse(&hurt) else { continue };
        assert!(found.value == right || !found.defects.is_empty(), "{how}");
    }
    let whole = sealed::envelope(5000);
    let right = Envelope::parse(&whole).unwrap().value;
    for (how, hurt) in every_hurt(&whole) {
        let Ok(found) = Envelope::parse(&hurt) else { continue };
        assert!(found.value == right || !found.defects.is_empty(), "envelope {how}");
    }
}

proptest! {
    #[test]
    fn no_change_of_bytes_panics(at in 0_usize..4000, bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
        for mut file in [sealed::container(100), sealed::envelope(100)] {
            file[at..at + bytes.len()].copy_from_slice(&bytes);
            let _ = EncryptedFile::parse(&file);
            let _ = Envelope::parse(&file);
        }
    }
}
