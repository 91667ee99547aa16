//! Descriptors of every kind, whole and damaged.

use vmglean_forge::vmdk::{
    descriptor::{DescriptorSpec, ExtentLine},
    seeds,
};
use vmglean_formats::{
    ByteOffset, Checked, Defect, Fields as _,
    vmdk::{Access, ContentId, CreateType, Descriptor, ExtentKind},
};

fn parse(text: &str) -> Checked<Descriptor> {
    Descriptor::parse(text.as_bytes(), ByteOffset(0))
}

fn words(defects: &[Defect]) -> Vec<String> {
    defects.iter().map(ToString::to_string).collect()
}

#[test]
fn every_create_type_and_extent_kind_reads_without_a_defect() {
    for (create, text) in seeds::descriptors() {
        let found = parse(&text);
        assert_eq!(words(&found.defects), [""; 0], "{create}");
        let descriptor = found.value;
        assert_ne!(descriptor.create_type(), Some(CreateType::Unknown), "{create}");
        assert_ne!(descriptor.extents[0].kind, ExtentKind::Unknown, "{create}");
        assert_eq!(descriptor.capacity().unwrap().0, 8192);
        assert_eq!(descriptor.has_parent(), create == "vmfsSparse" || create == "seSparse");
    }
}

#[test]
fn words_are_understood_in_any_case_and_kept_as_written() {
    for kind in CreateType::ALL {
        let word = kind.word().unwrap();
        assert_eq!(CreateType::from_word(&word.to_ascii_uppercase()), *kind);
        assert_eq!(CreateType::from_word(&word.to_ascii_lowercase()), *kind);
    }
    assert_eq!(CreateType::from_word("2GBMAXEXTENTSPARSE"), CreateType::TwoGbMaxExtentSparse);
    assert_eq!(CreateType::from_word("vmfsSeSparse"), CreateType::SeSparse);
    let found = parse("rdonly 5 sesparse \"a b.vmdk\"\n").value;
    assert_eq!(found.extents[0].access, Access::ReadOnly);
    assert_eq!(found.extents[0].access_word, "rdonly");
    assert_eq!(found.extents[0].kind, ExtentKind::SeSparse);
    assert_eq!(found.extents[0].name.as_deref(), Some("a b.vmdk"));
}

#[test]
fn an_extent_line_keeps_all_seven_words_and_its_line_number() {
    let text = "version=1\n\nRW 63 FLAT \"\\\\.\\PhysicalDrive0\" 2048 \"{1-2}\" \"dev id\"\n";
    let extent = &parse(text).value.extents[0];
    assert_eq!(extent.line, 3);
    assert_eq!(extent.at, ByteOffset(11));
    assert_eq!(extent.name.as_deref(), Some("\\\\.\\PhysicalDrive0"));
    assert_eq!(extent.offset.unwrap().0, 2048);
    assert_eq!(extent.partition_uuid.as_deref(), Some("{1-2}"));
    assert_eq!(extent.device_id.as_deref(), Some("dev id"));
    assert!(extent.raw.starts_with("RW 63 FLAT"));
}

#[test]
fn line_ends_blanks_nuls_and_order_do_not_matter() {
    let spec = DescriptorSpec::new("vmfs", ExtentLine::new(100, "VMFS", "a-flat.vmdk"));
    let plain = parse(&spec.text()).value;
    let crlf = parse(&DescriptorSpec { crlf: true, ..spec.clone() }.text());
    assert_eq!(words(&crlf.defects), [""; 0]);
    assert_eq!(crlf.value.cid(), plain.cid());
    assert_eq!(crlf.value.extents[0].name, plain.extents[0].name);
    let padded = format!("{}\0\0\0\0garbage=1", spec.text());
    assert_eq!(parse(&padded).value.entries.len(), plain.entries.len());
    let mut lines: Vec<_> = spec.text().lines().map(str::to_owned).collect();
    lines.reverse();
    let reversed = parse(&lines.join("\n"));
    assert_eq!(words(&reversed.defects), [""; 0]);
    assert_eq!(reversed.value.uuid(), plain.uuid());
    let trailing = parse("CID=a454774a \nparentCID=ffffffff\t\n").value;
    assert_eq!(trailing.cid(), Some(ContentId(0xa454_774a)));
    assert_eq!(trailing.parent_cid(), Some(ContentId::NO_PARENT));
}

#[test]
fn text_in_the_declared_encoding_is_read_in_it() {
    let (name, _, _) = encoding_rs::GBK.encode("数据|盘.vmdk");
    let mut bytes = b"encoding=\"GBK\"\nRW 1 VMFS \"".to_vec();
    bytes.extend_from_slice(&name);
    bytes.extend_from_slice(b"\"\n");
    let found = Descriptor::parse(&bytes, ByteOffset(0)).value;
    assert_eq!(found.encoding, "GBK");
    assert_eq!(found.extents[0].name.as_deref(), Some("数据|盘.vmdk"));
    let old = parse("ddb.encoding = \"windows-949-2000\"\n");
    assert_eq!(old.value.encoding, "EUC-KR");
    let mut broken = b"encoding=\"UTF-8\"\nRW 1 VMFS \"".to_vec();
    broken.extend_from_slice(b"\xb4\xf2.vmdk\"\n");
    let found = Descriptor::parse(&broken, ByteOffset(0));
    assert!(words(&found.defects)[0].contains("bytes are no valid UTF-8"));
    assert_eq!(found.value.extents.len(), 1);
}

#[test]
fn escapes_are_decoded_in_values_only() {
    let found = parse("ddb.comment = \"say |22hi|22 |7C |zz |\"\n").value;
    assert_eq!(found.get("DDB.Comment"), Some("say \"hi\" | |zz |"));
}

#[test]
fn a_content_id_follows_from_the_long_one() {
    let long = "bd746094172e7bea0b3805d8fffffffe";
    assert_eq!(ContentId::from_long_content_id(long), Some(ContentId::NEVER_WRITTEN));
    assert_eq!(ContentId::from_long_content_id("bd74"), None);
    assert_eq!(ContentId::from_hex("12345678x"), None);
    assert_eq!(ContentId(0xa4).to_string(), "000000a4");
}

#[test]
fn encryption_by_vmware_itself_is_told() {
    assert!(parse("encryptionKeys=\"vmware:key/list/x\"\n").value.is_vmware_encrypted());
    assert!(parse("ddb.iofilters = \"vmwarevmcrypt\"\n").value.is_vmware_encrypted());
    assert!(!parse("CID=1\n").value.is_vmware_encrypted());
}

#[test]
fn fields_list_every_key_with_place_and_line() {
    let text = DescriptorSpec::new("vmfs", ExtentLine::new(100, "VMFS", "a-flat.vmdk")).text();
    let found = parse(&text).value;
    let fields = found.fields();
    assert_eq!(fields.len(), found.entries.len() + 1);
    for field in &fields {
        let at = usize::try_from(field.offset_bytes.0).unwrap();
        let length = usize::try_from(field.length_bytes.0).unwrap();
        assert!(!text[at..at + length].contains('\n'));
    }
}

#[test]
fn bad_lines_are_named_and_what_follows_is_still_read() {
    let good = "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW 1 VMFS \"a\"\n";
    let cases: &[(&str, &str)] = &[
        ("hello world\n", "Descriptor.line at 0x0: line 1 is not understood: \"hello world\""),
        (
            "RW x VMFS \"b\"\n",
            "Descriptor.extent at 0x0: line 1 is not understood: \"RW x VMFS \\\"b\\\"\"",
        ),
        (
            "RW 99999999999999999999 ZERO\n",
            "Descriptor.extent at 0x0: line 1 is not understood: \"RW 99999999999999999999 ZERO\"",
        ),
        ("RW 1 VMFS\n", "Descriptor.name at 0x0: the file name is missing"),
        ("RW 1 FLAT \"b\"\n", "Descriptor.offset at 0x0: the offset of a FLAT extent is missing"),
        ("RW 1 WARP \"b\"\n", "Descriptor.type at 0x0: unknown word \"WARP\""),
        ("WO 1 VMFS \"b\"\n", "Descriptor.access at 0x0: unknown word \"WO\""),
        ("x=\"open\n", "Descriptor.value at 0x0: line 1 is not understood: \"x=\\\"open\""),
        ("ddb.x = 1\nddb.X = 2\n", "Descriptor.name at 0xa: line 2 says ddb.X again"),
        (
            "encoding=\"klingon\"\n",
            "Descriptor.encoding at 0x0: uses encoding klingon, which is not supported",
        ),
        (
            "RW 36028797018963968 ZERO\n",
            "Descriptor.capacity at 0x0: 36028797018963969 is outside 1..=36028797018963967",
        ),
    ];
    for (bad, expected) in cases {
        let found = parse(&format!("{bad}{good}"));
        assert_eq!(words(&found.defects), [*expected], "{bad}");
        assert_eq!(found.value.cid(), Some(ContentId(1)), "{bad}");
    }
    assert_eq!(
        words(&parse("").defects),
        [
            "Descriptor.version at 0x0: version is missing",
            "Descriptor.CID at 0x0: CID is missing",
            "Descriptor.parentCID at 0x0: parentCID is missing",
            "Descriptor.createType at 0x0: createType is missing",
            "Descriptor.extents at 0x0: every extent line is missing",
        ]
    );
    assert_eq!(
        words(
            &parse("version=1\nCID=xyz\nparentCID=ffffffff\ncreateType=\"odd\"\nRW 1 ZERO\n")
                .defects
        ),
        [
            "Descriptor.value at 0xa: line 2 is not understood: \"CID=xyz\"",
            "Descriptor.createType at 0x25: unknown word \"odd\"",
        ]
    );
}

#[test]
fn a_text_beyond_the_limit_is_read_to_the_limit_and_told() {
    let mut text = DescriptorSpec::new("vmfs", ExtentLine::new(100, "VMFS", "a-flat.vmdk")).text();
    while text.len() <= 1 << 20 {
        text.push_str("# filler filler filler filler filler\n");
    }
    let found = parse(&text);
    assert_eq!(
        words(&found.defects),
        [format!("Descriptor.length at 0x0: {} passes the limit of 1048576", text.len())]
    );
    assert_eq!(found.value.extents.len(), 1);
    let many = parse(&"a=b\n".repeat(100_000));
    assert_eq!(many.value.entries.len(), 4096);
    assert!(many.defects.len() <= 257);
}

#[test]
fn what_a_longer_text_left_behind_a_shorter_one_is_no_defect_and_anything_else_is() {
    let text = parse(&seeds::descriptors()[0].1).value.text;
    for (left, is_sound) in [
        ("\n", true),
        ("\"\n", true),
        ("\n\0", true),
        ("x", false),
        ("\n\n\n", false),
        ("\0\n", false),
    ] {
        // As qemu-img leaves it: a CID of eight digits, then one of six, and a NUL behind the text.
        let mut bytes = format!("{}\0{left}", text.replace('\0', "")).into_bytes();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let found = Descriptor::parse(&bytes, ByteOffset(0));
        assert_eq!(found.defects.is_empty(), is_sound, "{left:?} {:?}", words(&found.defects));
    }
}

#[test]
fn several_carriage_returns_and_byte_order_marks_are_no_part_of_a_line() {
    let text = b"\xef\xbb\xbf\xef\xbb\xbf# Disk DescriptorFile\r\r\nRW 8 FLAT \"a\" 0\r\r\r\n";
    let found = Descriptor::parse(text, ByteOffset(0));
    // Only the keys that this short one lacks.
    assert!(found.defects.iter().all(|defect| format!("{defect:?}").contains("Missing")));
    assert_eq!(found.value.text, "# Disk DescriptorFile\nRW 8 FLAT \"a\" 0\n");
    assert_eq!(found.value.extents[0].name.as_deref(), Some("a"));
    let cut = b"# Disk DescriptorFile\nRW 8 FLAT \"a\" 0 \"b\" \r\r\0x";
    let first = Descriptor::parse(cut, ByteOffset(0)).value;
    let again = Descriptor::parse(first.text.as_bytes(), ByteOffset(0)).value;
    assert_eq!(first.extents.len(), again.extents.len());
}
