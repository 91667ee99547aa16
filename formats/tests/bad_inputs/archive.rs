//! OVF envelopes, manifests, tar archives and vmtar.

use vmglean_forge::vm::archive;
use vmglean_formats::{
    esxi::Vmtar,
    ovf::{Envelope, Manifest, TarList},
};

use crate::table::{Table, exact, partial, told};

pub(crate) fn tables() -> Vec<Table> {
    vec![envelope(), manifest(), tar(), vmtar()]
}

fn envelope() -> Table {
    let mut table = Table::new("ovf");
    let disk = |id: &str, parent: Option<&str>| archive::Disk {
        id: id.into(),
        file: Some((format!("{id}.vmdk"), 1000)),
        parent: parent.map(str::to_owned),
        gib: 7,
    };
    let whole = archive::ovf("srv", &[disk("base", None), disk("delta", Some("base"))]);
    let right = Envelope::parse(&whole).value;
    table.hurt("two disks", &whole, |bytes| exact(&Envelope::parse(bytes), &right));
    let text = String::from_utf8(whole).unwrap();
    for (name, from, to) in [
        ("a file without an id", " ovf:id=\"file0\"", ""),
        ("a file without a name", "ovf:href=\"base.vmdk\"", ""),
        ("a file of the other's id", "ovf:id=\"file1\"", "ovf:id=\"file0\""),
        ("a size of words", "ovf:size=\"1000\"", "ovf:size=\"big\""),
        ("a negative size", "ovf:size=\"1000\"", "ovf:size=\"-1\""),
        ("a size of 2^64", "ovf:size=\"1000\"", "ovf:size=\"18446744073709551616\""),
        ("a disk without an id", " ovf:diskId=\"base\"", ""),
        ("a disk of the other's id", "ovf:diskId=\"delta\"", "ovf:diskId=\"base\""),
        ("a disk without a capacity", "ovf:capacity=\"7\" ", ""),
        ("a capacity of words", "ovf:capacity=\"7\"", "ovf:capacity=\"much\""),
        ("a capacity past 2^64", "ovf:capacity=\"7\"", "ovf:capacity=\"17179869184\""),
        (
            "a capacity of a property that is not there",
            "ovf:capacity=\"7\"",
            "ovf:capacity=\"${size}\"",
        ),
        ("units nobody knows", "byte * 2^30", "furlong"),
        ("units past 2^64", "byte * 2^30", "byte * 2^99"),
        ("a file that is not there", "ovf:fileRef=\"file0\"", "ovf:fileRef=\"file9\""),
        ("a parent that is not there", "ovf:parentRef=\"base\"", "ovf:parentRef=\"gone\""),
        ("a disk that is its own parent", "ovf:parentRef=\"base\"", "ovf:parentRef=\"delta\""),
        ("no machine", "VirtualSystem", "VirtualSistem"),
        ("another root", "Envelope", "Envelop"),
        ("no references", "References", "Referenzen"),
        ("no disk section", "DiskSection", "DiscSection"),
        ("a tag that does not close", "</DiskSection>", ""),
        ("an entity of its own", "VM Network", "&bomb;"),
        ("an attribute twice", "ovf:id=\"file0\"", "ovf:id=\"file0\" ovf:id=\"file0\""),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{name}");
        let found = Envelope::parse(changed.as_bytes());
        table.add(
            name,
            told(&found.defects).unwrap_or_else(|| {
                format!(
                    "read: {} files, {} disks, {} machines",
                    found.value.files.len(),
                    found.value.disks.len(),
                    found.value.systems.len()
                )
            }),
        );
    }
    table
}

fn manifest() -> Table {
    let mut table = Table::new("mf");
    let files: Vec<(String, Vec<u8>)> =
        (0..20).map(|n| (format!("disk{n}.vmdk"), vec![n])).collect();
    let named: Vec<(&str, &[u8])> =
        files.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
    let whole = archive::manifest(&named);
    let right = Manifest::parse(&whole).value;
    table.hurt("twenty files", &whole, |bytes| {
        let found = Manifest::parse(bytes);
        let kept = found.value.digests.iter().filter(|one| right.digests.contains(one)).count();
        partial(&found.defects, kept, right.digests.len(), kept < found.value.digests.len())
    });
    let hex = "0".repeat(64);
    for (name, line) in [
        ("an unknown digest", format!("MD9(a)= {hex}")),
        ("no digest", format!("(a)= {hex}")),
        ("no name", format!("SHA256()= {hex}")),
        ("a name that does not close", format!("SHA256(a= {hex}")),
        ("no equals sign", format!("SHA256(a) {hex}")),
        ("a digit too few", format!("SHA256(a)= {}", &hex[1..])),
        ("a digit too many", format!("SHA256(a)= 0{hex}")),
        ("a digit that is none", format!("SHA256(a)= g{}", &hex[1..])),
        ("the digits of SHA-1", format!("SHA1(a)= {hex}")),
        ("nothing behind the equals sign", "SHA256(a)=".to_owned()),
        ("a NUL in the name", format!("SHA256(a\0b)= {hex}")),
        ("a name that leads up", format!("SHA256(../../a)= {hex}")),
        ("prose", "these are the files".to_owned()),
    ] {
        let found = Manifest::parse(format!("{line}\n").as_bytes());
        table.add(
            format!("a line with {name}"),
            told(&found.defects)
                .unwrap_or_else(|| format!("read: {:?}", found.value.digests[0].name)),
        );
    }
    table
}

/// Offsets and widths of the text fields of a tar header.
const TAR_FIELDS: [(&str, usize, usize); 4] =
    [("name", 0, 100), ("mode", 100, 8), ("size", 124, 12), ("chksum", 148, 8)];

fn signed(mut file: Vec<u8>, at: usize) -> Vec<u8> {
    let block = &mut file[at..at + 512];
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    file
}

fn tar() -> Table {
    let mut table = Table::new("tar");
    let whole = archive::tar(&[("a.ovf", &[0; 2000]), ("b.vmdk", &[1; 600])]);
    let right = TarList::read(&whole).value;
    let judge = |bytes: &[u8]| exact(&TarList::read(&bytes.to_vec()), &right);
    table.hurt("two members", &whole, judge);
    for (name, at, width) in TAR_FIELDS {
        for (how, fill) in
            [("zeros", 0_u8), ("blanks", b' '), ("letters", b'x'), ("nines", b'9'), ("0xff", 0xff)]
        {
            let mut file = whole.clone();
            file[at..at + width].fill(fill);
            table.add(format!("{name} of {how}"), judge(&file));
            if name != "chksum" {
                let found = TarList::read(&signed(file, 0));
                table.add(
                    format!("{name} of {how}, checksum right"),
                    told(&found.defects).unwrap_or_else(|| {
                        format!(
                            "read: {} members, first {:?} of {}",
                            found.value.members.len(),
                            found.value.members.first().map(|one| one.name.as_str()),
                            found.value.members.first().map_or(0, |one| one.length.0)
                        )
                    }),
                );
            }
        }
    }
    for (name, size) in [
        ("2^63 bytes", &b"\x80\0\0\0\x80\0\0\0\0\0\0\0"[..]),
        ("2^64 bytes", b"\x80\0\0\x01\0\0\0\0\0\0\0\0"),
        ("8 GiB in octal", b"77777777777\0"),
    ] {
        let mut file = whole.clone();
        file[124..136].copy_from_slice(size);
        table.add(
            format!("a member of {name}"),
            told(&TarList::read(&signed(file, 0)).defects).unwrap(),
        );
    }
    for name in ["../up", "/etc/passwd", "a/../../b", "..", "a\\..\\b", "C:\\x"] {
        let found = TarList::read(&archive::tar(&[(name, b"x")]));
        table.add(
            format!("a member named {name}"),
            told(&found.defects)
                .unwrap_or_else(|| format!("read: {:?}", found.value.members[0].name)),
        );
    }
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("one zero block", vec![0; 512]),
        ("two zero blocks", vec![0; 1024]),
        ("half a block", whole[..256].to_vec()),
        ("data behind the end", [whole.as_slice(), &[7; 600]].concat()),
        ("two archives", [whole.as_slice(), &whole].concat()),
        ("a zero block between members", [&whole[..2560], &[0; 512], &whole[2560..]].concat()),
        ("a disk", b"KDMV".repeat(256)),
    ] {
        let found = TarList::read(&bytes);
        table.add(
            name,
            told(&found.defects)
                .unwrap_or_else(|| format!("read: {} members", found.value.members.len())),
        );
    }
    table
}

fn vmtar() -> Table {
    let mut table = Table::new("vmtar");
    let whole = archive::vmtar(&[("a", &[1; 5000]), ("b", b""), ("c", &[0; 600])]);
    let right = Vmtar::read(&whole).value;
    let judge = |bytes: &[u8]| exact(&Vmtar::read(&bytes.to_vec()), &right);
    table.hurt("three members", &whole, judge);
    for (value, name) in [
        (0_u32, "nowhere"),
        (1, "the first byte"),
        (512, "its own headers"),
        (4097, "no page"),
        (12_288, "another member's data"),
        (u32::MAX, "4 GiB"),
    ] {
        let mut file = whole.clone();
        file[496..500].copy_from_slice(&value.to_le_bytes());
        table.add(format!("data at {name}"), judge(&signed(file, 0)));
    }
    table.patches(
        &whole,
        judge,
        &[
            ("another magic", 257, b"ustar\0"),
            ("no magic", 257, &[0; 8]),
            ("another name", 0, b"z"),
            ("another size", 124, b"00000000001"),
        ],
    );
    table
}
