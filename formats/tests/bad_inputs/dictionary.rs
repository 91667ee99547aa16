//! Dictionaries and disk descriptors: text, key by key.

use vmglean_forge::vmdk::{
    descriptor::{DescriptorSpec, ExtentLine},
    seeds,
};
use vmglean_formats::{ByteOffset, dict::Dictionary, vmdk::Descriptor};

use crate::table::{Table, partial, told};

pub(crate) fn tables() -> Vec<Table> {
    vec![dictionary(), descriptor()]
}

fn says(text: &[u8]) -> String {
    let found = Dictionary::parse("vmx", text);
    told(&found.defects).unwrap_or_else(|| {
        let values: Vec<String> =
            found.value.effective().map(|(key, entry)| format!("{key}={}", entry.value)).collect();
        format!("right: {}", values.join(" ").escape_debug())
    })
}

fn dictionary() -> Table {
    let mut table = Table::new("dictionary");
    table.texts(
        says,
        &[
            ("nothing", ""),
            ("only blanks", "  \n\t\n\r\n"),
            ("only a comment", "# nothing here\n"),
            ("a key alone", "memsize\n"),
            ("an equals sign alone", "=\n"),
            ("a value without a key", " = \"4096\"\n"),
            ("a key without a value", "memsize =\n"),
            ("a value in no quotes", "memsize = 4096\n"),
            ("a quote that does not close", "memsize = \"4096\n"),
            ("a quote that does not open", "memsize = 4096\"\n"),
            ("words behind the quote", "memsize = \"4096\" MiB\n"),
            ("a comment behind the quote", "memsize = \"4096\" # MiB\n"),
            ("two equals signs", "a = b = c\n"),
            ("two equals signs in quotes", "a = \"b = c\"\n"),
            ("no line end", "memsize = \"4096\""),
            ("no line end and no quotes", "memsize = 4096"),
            ("line ends of another system", "a = \"1\"\r\nb = \"2\"\r\n"),
            ("line ends of a third system", "a = \"1\"\rb = \"2\"\r"),
            ("a NUL in a value", "a = \"1\0\"\n"),
            ("a NUL between lines", "a = \"1\"\n\0\nb = \"2\"\n"),
            ("NULs behind the text", "a = \"1\"\n\0\0\0\0"),
            ("a control character in a value", "a = \"\x01\"\n"),
            ("a control character in a key", "a\x02b = \"1\"\n"),
            ("a delete character", "a = \"\x7f\"\n"),
            ("a tab in a value", "a = \"x\ty\"\n"),
            ("the same key twice", "a = \"1\"\na = \"2\"\n"),
            ("the same key in another case", "a = \"1\"\nA = \"2\"\n"),
            ("the same key three times", "a = \"1\"\na = \"2\"\na = \"3\"\n"),
            ("an escape cut short", "a = \"x|2\"\n"),
            ("an escape of no digits", "a = \"|zz\"\n"),
            ("an escape that opens a quote", "a = \"|22\"\n"),
            ("an escaped line end", "a = \"x|0Ay\"\n"),
            ("an escaped NUL", "a = \"x|00y\"\n"),
            ("an escape in a bare value", "a = x|41\n"),
            ("a charset nobody knows", ".encoding = \"klingon\"\na = \"1\"\n"),
            ("an empty charset", ".encoding = \"\"\na = \"1\"\n"),
            ("a charset that comes twice", ".encoding = \"UTF-8\"\n.encoding = \"GBK\"\n"),
            ("a charset behind the values", "a = \"1\"\n.encoding = \"UTF-8\"\n"),
            ("prose", "the quick brown fox\njumps over\n"),
            ("a note of ransom", "YOUR FILES ARE ENCRYPTED\ncontact: us@example.invalid\n"),
            ("XML", "<Foundry>\n<VM/>\n</Foundry>\n"),
            ("JSON", "{\"a\": 1}\n"),
        ],
    );
    let raw: [(&str, &[u8]); 8] = [
        ("a byte order mark", b"\xef\xbb\xbfa = \"1\"\n"),
        ("a byte order mark of UTF-16", b"\xff\xfea\0 \0=\0 \x001\0\n\0"),
        ("bytes of no charset", b"a = \"\xff\xfe\"\n"),
        ("bytes that are not the declared UTF-8", b".encoding = \"UTF-8\"\na = \"\xe4\"\n"),
        ("a cut character at the end", b".encoding = \"UTF-8\"\na = \"\xe4\xbd"),
        ("bytes that are not the declared GBK", b".encoding = \"GBK\"\na = \"\xff\xff\"\n"),
        ("a KDMV header", b"KDMV\x01\0\0\0\x03\0\0\0\0\0\0\0"),
        ("a cut byte order mark", b"\xef\xbba = \"1\"\n"),
    ];
    for (name, bytes) in raw {
        table.add(name, says(bytes));
    }
    table
}

fn descriptor() -> Table {
    let mut table = Table::new("vmdk-descriptor");
    let line = ExtentLine::new(8192, "VMFS", "a-flat.vmdk");
    let whole = DescriptorSpec::new("vmfs", line).text();
    let right = Descriptor::parse(whole.as_bytes(), ByteOffset(0)).value;
    let judge = |bytes: &[u8]| {
        let found = Descriptor::parse(bytes, ByteOffset(0));
        let kept = found
            .value
            .entries
            .iter()
            .filter(|entry| right.get(&entry.name) == Some(&entry.value))
            .count();
        let wrong = kept < found.value.entries.len()
            || found.value.extents.iter().any(|extent| {
                !right.extents.iter().any(|one| {
                    (one.kind, one.length, &one.name) == (extent.kind, extent.length, &extent.name)
                })
            });
        partial(&found.defects, kept, right.entries.len(), wrong)
    };
    // A value may be another one here: what is judged is whether its line is understood.
    let told_or_read = |bytes: &[u8]| {
        let found = Descriptor::parse(bytes, ByteOffset(0));
        told(&found.defects).unwrap_or_else(|| {
            let extents: Vec<String> = found
                .value
                .extents
                .iter()
                .map(|extent| {
                    format!(
                        "{:?} {:?} {:?} {:?} {:?}",
                        extent.access,
                        extent.length.0,
                        extent.kind,
                        extent.name,
                        extent.offset.map(|at| at.0)
                    )
                })
                .collect();
            format!("read: {} keys, {}", found.value.entries.len(), extents.join("; "))
        })
    };
    table.hurt("vmfs", whole.as_bytes(), judge);
    let lines: Vec<&str> = whole.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let without: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(nth, _)| *nth != number)
            .map(|(_, line)| *line)
            .collect();
        table
            .add(format!("without the line {line}"), judge((without.join("\n") + "\n").as_bytes()));
        let half = &line[..line.len() / 2];
        let mut cut = lines.clone();
        cut[number] = half;
        table.add(
            format!("with the line {line} cut in half"),
            told_or_read((cut.join("\n") + "\n").as_bytes()),
        );
        let mut twice = lines.clone();
        twice.insert(number, line);
        table.add(
            format!("with the line {line} twice"),
            told_or_read((twice.join("\n") + "\n").as_bytes()),
        );
    }
    let head = "version=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"vmfs\"\n";
    for (name, line) in [
        ("no length", "RW VMFS \"a-flat.vmdk\""),
        ("a length that is none", "RW many VMFS \"a-flat.vmdk\""),
        ("a negative length", "RW -1 VMFS \"a-flat.vmdk\""),
        ("a length in hex", "RW 0x10 VMFS \"a-flat.vmdk\""),
        ("a length of nothing", "RW 0 VMFS \"a-flat.vmdk\""),
        ("a length of 2^55", "RW 36028797018963968 VMFS \"a-flat.vmdk\""),
        ("a length of 2^63", "RW 9223372036854775808 VMFS \"a-flat.vmdk\""),
        ("a length of 2^64", "RW 18446744073709551616 VMFS \"a-flat.vmdk\""),
        ("no kind", "RW 8192"),
        ("an unknown kind", "RW 8192 HOLOGRAM \"a-flat.vmdk\""),
        ("an unknown access", "RX 8192 VMFS \"a-flat.vmdk\""),
        ("a kind in another case", "rw 8192 vmfs \"a-flat.vmdk\""),
        ("no name", "RW 8192 VMFS"),
        ("an empty name", "RW 8192 VMFS \"\""),
        ("a name without quotes", "RW 8192 VMFS a-flat.vmdk"),
        ("a name with blanks and no quotes", "RW 8192 VMFS a flat.vmdk"),
        ("a name that does not close", "RW 8192 VMFS \"a-flat.vmdk"),
        ("a name that leads up", "RW 8192 VMFS \"../../etc/shadow\""),
        ("a name from the root", "RW 8192 VMFS \"/etc/shadow\""),
        ("a name of another system", "RW 8192 FLAT \"C:\\\\disk.vmdk\" 0"),
        ("a flat extent without an offset", "RW 8192 FLAT \"a-flat.vmdk\""),
        ("a flat extent with an offset that is none", "RW 8192 FLAT \"a-flat.vmdk\" x"),
        (
            "a flat extent with an offset of 2^64",
            "RW 8192 FLAT \"a-flat.vmdk\" 18446744073709551616",
        ),
        ("a zero extent with a name", "RW 8192 ZERO \"a\""),
        ("a zero extent", "RW 8192 ZERO"),
        ("an extent without access and name", "NOACCESS 8192 FLAT"),
        ("ten words", "RW 8192 FLAT \"a\" 0 b c d e f"),
        ("a device of Windows", "RW 8192 FLAT \"\\\\.\\PhysicalDrive0\" 63 \"uuid\" \"id\""),
        ("blanks of another kind", "RW\t8192\tVMFS\t\"a-flat.vmdk\""),
        ("two blanks", "RW  8192  VMFS  \"a-flat.vmdk\""),
        ("a length with a unit", "RW 4MiB VMFS \"a-flat.vmdk\""),
    ] {
        table.add(
            format!("an extent line with {name}"),
            told_or_read(format!("{head}{line}\n").as_bytes()),
        );
    }
    let extent = "RW 8192 VMFS \"a-flat.vmdk\"\n";
    for (name, text) in [
        ("a CID that is none", "version=1\nCID=xyz\nparentCID=ffffffff\ncreateType=\"vmfs\"\n"),
        (
            "a CID of nine digits",
            "version=1\nCID=123456789\nparentCID=ffffffff\ncreateType=\"vmfs\"\n",
        ),
        ("a CID of nothing", "version=1\nCID=\nparentCID=ffffffff\ncreateType=\"vmfs\"\n"),
        ("a negative CID", "version=1\nCID=-1\nparentCID=ffffffff\ncreateType=\"vmfs\"\n"),
        ("a parentCID that is none", "version=1\nCID=1\nparentCID=none\ncreateType=\"vmfs\"\n"),
        ("a version that is none", "version=one\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\"\n"),
        (
            "a version of 2^32",
            "version=4294967296\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\"\n",
        ),
        (
            "a createType nobody knows",
            "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"warp\"\n",
        ),
        ("a createType of nothing", "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"\"\n"),
        ("two CIDs", "version=1\nCID=1\nCID=2\nparentCID=ffffffff\ncreateType=\"vmfs\"\n"),
        (
            "an encoding nobody knows",
            "encoding=\"klingon\"\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\"\n",
        ),
        (
            "a line of prose",
            "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\"\nall your files\n",
        ),
        (
            "a value that does not close",
            "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\n",
        ),
        ("nothing else", ""),
    ] {
        table.add(
            format!("a header with {name}"),
            told_or_read(format!("{text}{extent}").as_bytes()),
        );
    }
    for (name, bytes) in [
        ("an empty file", &b""[..]),
        ("one NUL", b"\0"),
        ("a KDMV header", b"KDMV\x01\0\0\0"),
        ("a text in UTF-16", b"\xff\xfe#\0 \0D\0"),
        (
            "a NUL before the extents",
            b"version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\"\n\0RW 1 VMFS \"a\"\n",
        ),
        (
            "bytes of no charset",
            b"version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW 1 VMFS \"\xff\xfe\"\n",
        ),
    ] {
        table.add(name, told_or_read(bytes));
    }
    for (create, text) in seeds::descriptors() {
        let torn = &text[..text.len() / 2];
        table.add(format!("{create} cut in half"), told_or_read(torn.as_bytes()));
    }
    table
}
