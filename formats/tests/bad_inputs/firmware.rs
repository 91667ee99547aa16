//! `.nvram`, with and without an EFI variable store.

use vmglean_forge::vm::nvram;
use vmglean_formats::nvram::Nvram;

use crate::table::{Table, exact};

pub(crate) fn tables() -> Vec<Table> {
    let mut table = Table::new("nvram");
    let bios = nvram::bios();
    let right = Nvram::parse(&bios).value;
    let judge = |bytes: &[u8]| exact(&Nvram::parse(bytes), &right);
    table.hurt("bios", &bios, judge);
    table.fields(
        &bios,
        |bytes| exact(&Nvram::parse(bytes), &right),
        &[
            ("magic", 0, 4),
            ("version", 4, 4),
            ("first length", 16, 4),
            ("second length", 32, 4),
            ("third length", 52, 4),
        ],
    );
    table.patches(
        &bios,
        judge,
        &[
            ("a section of no letters", 8, b"\xff\xff\xff\xff"),
            ("a section of nothing", 8, b"\0\0\0\0"),
            ("a section with a NUL inside", 8, b"C\0OS"),
            ("a tag of no letters", 12, b"\x01\x02\x03\x04"),
            ("an EFI store in place of the clock", 8, b"EFI_NV\0\0"),
        ],
    );
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("seven bytes", bios[..7].to_vec()),
        ("a header alone", bios[..8].to_vec()),
        ("half a record", bios[..15].to_vec()),
        ("one byte more", [bios.as_slice(), b"x"].concat()),
        ("one byte less", bios[..bios.len() - 1].to_vec()),
        ("twice", [bios.as_slice(), &bios].concat()),
    ] {
        table.add(name, exact(&Nvram::parse(&bytes), &right));
    }
    let efi = nvram::efi(&[("BootOrder", &[0, 0]), ("PK", &[1; 40]), ("db", &[2; 600])]);
    let right = Nvram::parse(&efi).value;
    let judge = |bytes: &[u8]| exact(&Nvram::parse(bytes), &right);
    let store = bios.len() + 12;
    // The free space of the store is all alike: its first sectors stand for it.
    let used = store + 2048;
    for (how, hurt) in vmglean_forge::vm::hurt::every_hurt(&efi) {
        let at: usize = how.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        if at < used && at + 1024 > bios.len() || at + 1024 > efi.len() {
            table.add(format!("efi: {how}"), judge(&hurt));
        }
    }
    let first = store + 16;
    table.fields(
        &efi,
        judge,
        &[
            ("store length", bios.len() + 8, 4),
            ("store end", store + 12, 4),
            ("variable total", first + 20, 4),
            ("variable name length", first + 24, 4),
        ],
    );
    table.patches(
        &efi,
        judge,
        &[
            ("another store magic", store, b"VMWNVROM"),
            ("a name of control characters", first + 28, b"\x01\0\x02\0"),
            ("a name of half a pair", first + 28, b"\x00\xd8"),
            ("a byte in the free space", efi.len() - 1, b"\0"),
        ],
    );
    vec![table]
}
