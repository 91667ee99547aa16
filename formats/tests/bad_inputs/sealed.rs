//! VMware's own encrypted files and envelopes.

use vmglean_forge::vm::sealed;
use vmglean_formats::container::{EncryptedFile, Envelope};

use crate::table::{Table, exact_or_refused, told};

pub(crate) fn tables() -> Vec<Table> {
    let mut table = Table::new("container");
    let file = sealed::container(9000);
    let right = EncryptedFile::parse(&file).unwrap().value;
    let judge = |bytes: &[u8]| exact_or_refused(EncryptedFile::parse(&bytes.to_vec()), &right);
    table.hurt("file", &file, judge);
    table.fields(
        &file,
        judge,
        &[
            ("file magic", 0, 4),
            ("file version", 4, 4),
            ("file payload", 8, 4),
            ("file iv", 12, 4),
            ("file tag", 16, 4),
            ("file reserved", 32, 4),
        ],
    );
    // The length of the content is known to its block only: within it nothing tells another one.
    let length = |bytes: &[u8]| match EncryptedFile::parse(&bytes.to_vec()) {
        Ok(found) => told(&found.defects)
            .unwrap_or_else(|| format!("read: {} of content", found.value.plaintext)),
        Err(error) => format!("refused: {error}"),
    };
    table.fields(&file, length, &[("file plaintext", 24, 8)]);
    let envelope = sealed::envelope(3000);
    let right = Envelope::parse(&envelope).unwrap().value;
    let judge = |bytes: &[u8]| exact_or_refused(Envelope::parse(&bytes.to_vec()), &right);
    table.hurt("envelope", &envelope, judge);
    table.fields(&envelope, judge, &[("envelope version", 508, 4)]);
    table.patches(
        &envelope,
        judge,
        &[
            ("an envelope of another word", 0, b"d"),
            ("an envelope without attributes", 512, b"\0"),
            ("an attribute of an unknown kind", 512, b"\x63"),
            ("an attribute of no name", 516, b"\0"),
            ("an attribute of 2^64 bytes", 526, &[0xff; 8]),
            ("an attribute name of control characters", 516, b"\x01\x02"),
            ("a footer of another word", envelope.len() - 4096, b"x"),
        ],
    );
    table.add("an envelope without its footer", judge(&envelope[..envelope.len() - 4096]));
    table.add("an envelope of one block", judge(&envelope[..4096]));
    vec![table]
}
