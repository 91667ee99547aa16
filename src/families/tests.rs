//! Names, the data file and its errors.

use super::*;

fn families() -> Families {
    Families::built_in().unwrap()
}

#[test]
fn the_built_in_file_holds_all_66_families_each_with_its_sources() {
    let families = families();
    assert_eq!(families.all().len(), 66);
    for family in families.all() {
        assert!(!family.sources.is_empty(), "{}", family.name);
        assert!(!family.patterns.is_empty(), "{}", family.name);
    }
    assert!(families.get("Qilin").is_some() && families.get("qilin").is_none());
}

/// Name, stem, appended parts with how they are understood.
#[test]
fn names_are_taken_apart_as_vmware_and_attackers_make_them() {
    use NameKind::*;
    let k = SuffixMeaning::Known;
    let v = SuffixMeaning::PerVictimRule;
    let u = SuffixMeaning::Unknown;
    let o = SuffixMeaning::Ordinary;
    let s = SuffixMeaning::Sidecar;
    type Case<'a> = (&'a str, &'a str, NameKind, &'a [(&'a str, SuffixMeaning)]);
    let table: &[Case<'_>] = &[
        ("db01.vmdk", "db01.vmdk", Vmdk, &[]),
        ("db01-flat.vmdk", "db01-flat.vmdk", Flat, &[]),
        ("db01-FLAT.VMDK", "db01-FLAT.VMDK", Flat, &[]),
        ("db01-f001.vmdk", "db01-f001.vmdk", Flat, &[]),
        ("db01-s001.vmdk", "db01-s001.vmdk", SparseExtent, &[]),
        ("db01-sabc.vmdk", "db01-sabc.vmdk", Vmdk, &[]),
        ("db01-000001.vmdk", "db01-000001.vmdk", Vmdk, &[]),
        ("db01-000001-delta.vmdk", "db01-000001-delta.vmdk", Delta, &[]),
        ("db01-000001-sesparse.vmdk", "db01-000001-sesparse.vmdk", SeSparse, &[]),
        ("db01-ctk.vmdk", "db01-ctk.vmdk", ChangeTracking, &[]),
        ("db01-rdm.vmdk", "db01-rdm.vmdk", RawDeviceMap, &[]),
        ("db01-rdmp.vmdk", "db01-rdmp.vmdk", RawDeviceMap, &[]),
        ("db01.vmdk.REDO", "db01.vmdk.REDO", Delta, &[]),
        ("db01.vmx", "db01.vmx", Vmx, &[]),
        ("db01.vmx~", "db01.vmx~", VmxBackup, &[]),
        ("db01.vmx.lck", "db01.vmx.lck", Lock, &[]),
        ("db01.vmdk.lck", "db01.vmdk.lck", Lock, &[]),
        (".lck-3a01000000000000", ".lck-3a01000000000000", Lock, &[]),
        ("db01.vmdk~", "db01.vmdk~", Lock, &[]),
        ("db01.vmxf", "db01.vmxf", Vmxf, &[]),
        ("db01.vmsd", "db01.vmsd", Vmsd, &[]),
        ("db01.vmtx", "db01.vmtx", Vmtx, &[]),
        ("db01-Snapshot12.vmsn", "db01-Snapshot12.vmsn", Vmsn, &[]),
        ("db01-1a2b.vmss", "db01-1a2b.vmss", Vmss, &[]),
        ("db01-1a2b.vmem", "db01-1a2b.vmem", Vmem, &[]),
        ("db01-1a2b.vswp", "db01-1a2b.vswp", Vswp, &[]),
        ("vmx-db01-77.vswp", "vmx-db01-77.vswp", Vswp, &[]),
        ("db01.nvram", "db01.nvram", Nvram, &[]),
        ("vmware.log", "vmware.log", Log, &[]),
        ("vmware-1.log", "vmware-1.log", Log, &[]),
        ("vmware.log.1", "vmware.log", Log, &[(".1", o)]),
        ("db01.ovf", "db01.ovf", Export, &[]),
        ("db01.ova", "db01.ova", Export, &[]),
        ("db01.mf", "db01.mf", Export, &[]),
        ("tools.iso", "tools.iso", Media, &[]),
        ("db01.hlog", "db01.hlog", OtherVmware, &[]),
        ("db01.vmfd", "db01.vmfd", OtherVmware, &[]),
        ("db01-flat.vmdk.akira", "db01-flat.vmdk", Flat, &[(".akira", k)]),
        ("db01-flat.vmdk.AKIRA", "db01-flat.vmdk", Flat, &[(".AKIRA", k)]),
        ("db01.vmdk.akira.akira", "db01.vmdk", Vmdk, &[(".akira", k), (".akira", k)]),
        ("db01-flat.vmdk.akira.qilin", "db01-flat.vmdk", Flat, &[(".akira", k), (".qilin", k)]),
        ("db01.vmx.DtMXQFOCos", "db01.vmx", Vmx, &[(".DtMXQFOCos", v)]),
        ("db01-flat.vmdk.2ir53sQQAU", "db01-flat.vmdk", Flat, &[(".2ir53sQQAU", v)]),
        ("db01.vmdk.qilin", "db01.vmdk", Vmdk, &[(".qilin", k)]),
        ("db01.vmdk.args", "db01.vmdk", Vmdk, &[(".args", s)]),
        ("db01-flat.vmdk.args", "db01-flat.vmdk", Flat, &[(".args", s)]),
        ("disk.vmdk.crypt658", "disk.vmdk", Vmdk, &[(".crypt658", k)]),
        ("disk.vmdk.crypt12", "disk.vmdk", Vmdk, &[(".crypt12", v)]),
        ("disk.vmdk.crypt", "disk.vmdk", Vmdk, &[(".crypt", k)]),
        ("disk.vmdk.babyk", "disk.vmdk", Vmdk, &[(".babyk", k)]),
        ("disk.vmdk.Cheers", "disk.vmdk", Vmdk, &[(".Cheers", k)]),
        ("disk.vmdk.RTM", "disk.vmdk", Vmdk, &[(".RTM", k)]),
        ("disk.vmdk.emario", "disk.vmdk", Vmdk, &[(".emario", k)]),
        ("disk.vmdk.conti", "disk.vmdk", Vmdk, &[(".conti", k)]),
        ("disk.vmdk.monti", "disk.vmdk", Vmdk, &[(".monti", k)]),
        ("disk.vmdk.puuuk", "disk.vmdk", Vmdk, &[(".puuuk", k)]),
        ("disk.vmdk.royal_u", "disk.vmdk", Vmdk, &[(".royal_u", k)]),
        ("disk.vmdk.blacksuit", "disk.vmdk", Vmdk, &[(".blacksuit", k)]),
        ("disk.vmdk.basta", "disk.vmdk", Vmdk, &[(".basta", k)]),
        ("disk.vmdk.a1B2c3D4e", "disk.vmdk", Vmdk, &[(".a1B2c3D4e", v)]),
        ("disk.vmdk.hive", "disk.vmdk", Vmdk, &[(".hive", k)]),
        ("disk.vmdk.locked", "disk.vmdk", Vmdk, &[(".locked", k)]),
        ("disk.vmdk.PLAY", "disk.vmdk", Vmdk, &[(".PLAY", k)]),
        ("disk.vmdk.INC", "disk.vmdk", Vmdk, &[(".INC", k)]),
        ("disk.vmdk.lynx", "disk.vmdk", Vmdk, &[(".lynx", k)]),
        ("disk.vmdk.SINOBI", "disk.vmdk", Vmdk, &[(".SINOBI", k)]),
        ("disk.vmdk.0a1b2c", "disk.vmdk", Vmdk, &[(".0a1b2c", v)]),
        ("disk.vmdk.C_I_0P", "disk.vmdk", Vmdk, &[(".C_I_0P", k)]),
        ("disk.vmdk.stj888", "disk.vmdk", Vmdk, &[(".stj888", k)]),
        ("disk.vmdk.Darkbit", "disk.vmdk", Vmdk, &[(".Darkbit", k)]),
        ("disk.vmdk.vect", "disk.vmdk", Vmdk, &[(".vect", k)]),
        ("disk.vmdk.v-society", "disk.vmdk", Vmdk, &[(".v-society", k)]),
        ("disk.vmdk.darkside", "disk.vmdk", Vmdk, &[(".darkside", k)]),
        ("disk.vmdk.mcrgnx", "disk.vmdk", Vmdk, &[(".mcrgnx", k)]),
        ("disk.vmdk.mcrgnx0", "disk.vmdk", Vmdk, &[(".mcrgnx0", s)]),
        ("disk.vmdk.Luna", "disk.vmdk", Vmdk, &[(".Luna", k)]),
        ("disk.vmdk.NEVADA", "disk.vmdk", Vmdk, &[(".NEVADA", k)]),
        ("disk.vmdk.ENCRT", "disk.vmdk", Vmdk, &[(".ENCRT", k)]),
        ("disk.vmdk.keystore", "disk.vmdk", Vmdk, &[(".keystore", s)]),
        ("disk.vmdk.x2anylock", "disk.vmdk", Vmdk, &[(".x2anylock", k)]),
        ("disk.vmdk.dragonforce_encrypted", "disk.vmdk", Vmdk, &[(".dragonforce_encrypted", k)]),
        ("disk.vmdk.MEDUSA", "disk.vmdk", Vmdk, &[(".MEDUSA", k)]),
        ("disk.vmdk.interlock", "disk.vmdk", Vmdk, &[(".interlock", k)]),
        ("disk.vmdk.!NT3R10CK", "disk.vmdk", Vmdk, &[(".!NT3R10CK", k)]),
        ("disk.vmdk.safepay", "disk.vmdk", Vmdk, &[(".safepay", k)]),
        ("disk.vmdk.fog", "disk.vmdk", Vmdk, &[(".fog", k)]),
        ("disk.vmdk.cts6", "disk.vmdk", Vmdk, &[(".cts6", v)]),
        ("disk.vmdk.00000001", "disk.vmdk", Vmdk, &[(".00000001", k)]),
        ("disk.vmdk.vanhelsing", "disk.vmdk", Vmdk, &[(".vanhelsing", k)]),
        ("disk.vmdk.rhysida", "disk.vmdk", Vmdk, &[(".rhysida", k)]),
        ("disk.vmdk._locked", "disk.vmdk", Vmdk, &[("._locked", k)]),
        ("disk.vmdk.BEAST", "disk.vmdk", Vmdk, &[(".BEAST", k)]),
        ("disk.vmdk.encrypted_by_bert", "disk.vmdk", Vmdk, &[(".encrypted_by_bert", k)]),
        ("disk.vmdk.zpsc", "disk.vmdk", Vmdk, &[(".zpsc", k)]),
        ("disk.vmdk.SEXi", "disk.vmdk", Vmdk, &[(".SEXi", k)]),
        ("disk.vmdk.lockfile", "disk.vmdk", Vmdk, &[(".lockfile", k)]),
        ("disk.vmdk.powerranges", "disk.vmdk", Vmdk, &[(".powerranges", k)]),
        ("disk.vmdk.akiranew", "disk.vmdk", Vmdk, &[(".akiranew", k)]),
        ("disk.vmdk.0123456789abcdef", "disk.vmdk", Vmdk, &[(".0123456789abcdef", v)]),
        ("disk.vmdk.wpzlbji", "disk.vmdk", Vmdk, &[(".wpzlbji", v)]),
        ("disk.vmdk.zz", "disk.vmdk", Vmdk, &[(".zz", u)]),
        ("disk.vmdk_locked", "disk.vmdk", Vmdk, &[("_locked", u)]),
        (
            "disk.vmdk.[a.b@mail.com].xyz1",
            "disk.vmdk",
            Vmdk,
            &[(".[a.b@mail.com]", u), (".xyz1", u)],
        ),
        ("disk.vmdk.bak", "disk.vmdk", Vmdk, &[(".bak", o)]),
        ("disk.vmdk.gz", "disk.vmdk", Vmdk, &[(".gz", o)]),
        ("disk.vmdk.gpg", "disk.vmdk", Vmdk, &[(".gpg", o)]),
        ("db01.vmx.bak", "db01.vmx", Vmx, &[(".bak", o)]),
        ("db01.vmx~.akira", "db01.vmx~", VmxBackup, &[(".akira", k)]),
        ("vmware-3.log.RTM", "vmware-3.log", Log, &[(".RTM", k)]),
        ("srv.log.vmdk", "srv.log.vmdk", Vmdk, &[]),
        ("my.vmdk.server.vmx", "my.vmdk.server.vmx", Vmx, &[]),
        ("web server (2).vmdk.akira", "web server (2).vmdk", Vmdk, &[(".akira", k)]),
        ("report.docx.akira", "report.docx", Other, &[(".akira", k)]),
        ("README.txt", "README.txt", Other, &[]),
        ("akira", "akira", Other, &[]),
        (".akira", ".akira", Other, &[]),
        ("", "", Other, &[]),
        ("vmdk", "vmdk", Other, &[]),
        (".vmdk", ".vmdk", Vmdk, &[]),
    ];
    assert!(table.len() >= 100);
    let families = families();
    for (name, stem, kind, suffixes) in table {
        let parts = split_suffix(name.as_bytes(), &families);
        let found: Vec<_> = parts
            .suffixes
            .iter()
            .map(|suffix| (String::from_utf8_lossy(&suffix.text).into_owned(), suffix.meaning))
            .collect();
        let wanted: Vec<_> = suffixes.iter().map(|(text, m)| ((*text).to_owned(), *m)).collect();
        assert_eq!(parts.stem, stem.as_bytes(), "{name}");
        assert_eq!((parts.kind, found), (*kind, wanted), "{name}");
        for suffix in &parts.suffixes {
            let has = matches!(suffix.meaning, SuffixMeaning::Unknown | SuffixMeaning::Ordinary);
            assert_eq!(suffix.families.is_empty(), has, "{name}");
        }
    }
}

#[test]
fn bytes_that_are_no_utf_8_are_names_too_and_stem_and_suffixes_make_the_name_again() {
    let parts = split_suffix(b"d\xff\xfe.vmdk.\x80akira", &families());
    assert_eq!(parts.stem, b"d\xff\xfe.vmdk");
    assert_eq!(parts.suffixes[0].text, b".\x80akira");
    assert_eq!(parts.suffixes[0].meaning, SuffixMeaning::Unknown);
}

proptest::proptest! {
    #[test]
    fn no_name_panics_and_its_parts_make_it_again(
        name in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        tail in "(\\.vmdk|\\.vmx~|-flat\\.vmdk|\\.akira|\\.x){0,6}",
    ) {
        let name = [name, tail.into_bytes()].concat();
        let parts = split_suffix(&name, &families());
        let again: Vec<u8> = parts.suffixes.iter().fold(parts.stem.clone(), |mut all, suffix| {
            all.extend(&suffix.text);
            all
        });
        proptest::prop_assert_eq!(again, name.clone());
        let _ = note_by_name(&name, &families());
    }
}

#[test]
fn note_names_are_known_with_their_id_and_common_ones_are_marked_ambiguous() {
    let families = families();
    type Found<'a> = Option<(&'a str, Option<&'a str>, bool)>;
    let table: [(&str, Found<'_>); 16] = [
        ("akira_readme.txt", Some(("Akira (C++)", None, false))),
        ("AKIRA_README.TXT", Some(("Akira (C++)", None, false))),
        ("README-RECOVER-DtMXQFOCos.txt", Some(("Qilin", Some("DtMXQFOCos"), false))),
        ("RECOVER-wpzlbji-FILES.txt", Some(("BlackCat", Some("wpzlbji"), false))),
        ("How To Restore Your Files.txt", Some(("Babuk ESXi", None, false))),
        ("How to Restore Your Files.html", Some(("ESXiArgs wave 1", None, false))),
        ("db01.vmdk.README_TO_RESTORE", Some(("HelloKitty Linux", Some("db01.vmdk"), false))),
        ("!!!READ_ME_MEDUSA!!!.txt", Some(("Medusa", None, false))),
        ("readme.txt", Some(("Conti ESXi", None, true))),
        ("README_ab12cd.txt", Some(("RansomHub", Some("ab12cd"), true))),
        ("note.txt", Some(("BERT", None, true))),
        ("README.md", None),
        ("vmware.log", None),
        ("LICENSE", None),
        ("RECOVER--FILES.txt", None),
        ("RECOVER-a b-FILES.txt", None),
    ];
    for (name, wanted) in table {
        let found = note_by_name(name.as_bytes(), &families);
        let found = found
            .as_ref()
            .map(|note| (note.families[0].family.as_str(), note.id.as_deref(), note.ambiguous));
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn a_users_file_adds_and_replaces_and_its_slips_are_named_exactly() {
    let file = |body: &str| format!("{{\"schema\":\"vmglean.families/1\",\"families\":[{body}]}}");
    let entry = |more: &str| {
        file(&format!("{{\"name\":\"X\",\"basis\":\"read\",\"confidence\":\"low\"{more}}}"))
    };
    let added = families().with_text(&entry(",\"suffixes\":[\".xx9\"]"), "mine.json").unwrap();
    assert_eq!(added.all().len(), 67);
    let parts = split_suffix(b"a.vmdk.xx9", &added);
    assert_eq!(parts.suffixes[0].families[0].family, "X");
    let replaced = entry("").replace("\"X\"", "\"Qilin\"");
    let replaced = families().with_text(&replaced, "mine.json").unwrap();
    assert_eq!(replaced.all().len(), 66);
    assert!(replaced.get("Qilin").unwrap().suffixes.is_empty());
    let table = [
        ("[]".to_owned(), "mine.json: top level: must be an object"),
        ("{}".to_owned(), "mine.json: schema: is missing"),
        (
            "{\"schema\":\"other/1\"}".to_owned(),
            "mine.json: schema: is \"other/1\", not \"vmglean.families/1\"",
        ),
        (file("7"), "mine.json: entry 1 \"?\": must be an object"),
        (file("{\"basis\":\"read\"}"), "mine.json: entry 1 \"?\": name: is missing"),
        (
            entry(",\"suffixes\":[\"xx9\"]"),
            "mine.json: entry 1 \"X\": suffixes[0]: \"xx9\" must begin with a dot",
        ),
        (entry(",\"notes\":\"a.txt\""), "mine.json: entry 1 \"X\": notes: must be a list"),
        (entry(",\"notes\":[\"a\",5]"), "mine.json: entry 1 \"X\": notes[1]: must be text"),
        (entry(",\"notes\":[\"\"]"), "mine.json: entry 1 \"X\": notes[0]: is empty"),
        (
            entry(",\"footers\":[{\"length_bytes\":0}]"),
            "mine.json: entry 1 \"X\": footers[0].length_bytes: 0 is outside 1..=65536",
        ),
        (
            entry(",\"footers\":[{\"length_bytes\":\"9\"}]"),
            "mine.json: entry 1 \"X\": footers[0].length_bytes: must be a whole number",
        ),
        (
            entry(",\"footers\":[{\"magic_hex\":\"0g\"}]"),
            "mine.json: entry 1 \"X\": footers[0].magic_hex: must be pairs of hexadecimal digits",
        ),
        (
            entry(",\"footers\":[{\"magic_hex\":\"00\"}]"),
            "mine.json: entry 1 \"X\": footers[0].magic_from_end_bytes: is missing",
        ),
        (
            entry(",\"footers\":[{\"magic_hex\":\"0000\",\"magic_from_end_bytes\":1}]"),
            "mine.json: entry 1 \"X\": footers[0].magic_from_end_bytes: 1 leaves no room for 2 \
             bytes of magic",
        ),
        (
            entry(",\"footers\":[{}]"),
            "mine.json: entry 1 \"X\": footers[0].length_bytes: is missing, and neither magic \
             nor geometry is given",
        ),
        (
            entry(",\"footers\":[{\"geometry\":\"zig\"}]"),
            "mine.json: entry 1 \"X\": footers[0].geometry: is \"zig\", not one of akira2023, \
             conti, play, black-basta, royal, ransom-hub, money-message, black-cat",
        ),
        (
            entry(",\"patterns\":[{\"kind\":\"periodic\",\"run_bytes\":9,\"step_bytes\":8}]"),
            "mine.json: entry 1 \"X\": patterns[0].step_bytes: 8 is outside \
             9..=18446744073709551615",
        ),
        (
            entry(",\"patterns\":[{\"kind\":\"share\",\"percents\":[0]}]"),
            "mine.json: entry 1 \"X\": patterns[0].percents[0]: must be a whole number from 1 \
             to 100",
        ),
        (
            entry(",\"suffix_rules\":[{\"shape\":\"odd\",\"min_length\":1,\"max_length\":2}]"),
            "mine.json: entry 1 \"X\": suffix_rules[0].shape: is \"odd\", not one of \
             alphanumeric, hex, digits",
        ),
        (
            entry(",\"suffix_rules\":[{\"min_length\":3,\"max_length\":2}]"),
            "mine.json: entry 1 \"X\": suffix_rules[0].max_length: 2 is outside 3..=64",
        ),
        (
            entry(",\"header\":{\"offset_bytes\":1}"),
            "mine.json: entry 1 \"X\": header.length_bytes: is missing",
        ),
        (
            entry("").replace("\"low\"", "\"sure\""),
            "mine.json: entry 1 \"X\": confidence: is \"sure\", not one of high, medium, low",
        ),
        (
            file(
                "{\"name\":\"X\",\"basis\":\"read\",\"confidence\":\"low\"},\
                 {\"name\":\"X\",\"basis\":\"read\",\"confidence\":\"low\"}",
            ),
            "mine.json: entry 2 \"X\": name: is there twice",
        ),
    ];
    for (text, wanted) in table {
        let error = families().with_text(&text, "mine.json").unwrap_err();
        assert_eq!(error.to_string(), wanted, "{text}");
    }
    let unknown = families().with_text(&entry(",\"colour\":1"), "mine.json").unwrap_err();
    assert!(unknown.to_string().starts_with(
        "mine.json: entry 1 \"X\": colour: is no known field; known are name, aliases"
    ));
    let torn = families().with_text("{\"schema\":", "mine.json").unwrap_err();
    assert_eq!(torn.to_string(), "mine.json: is no JSON");
    let missing = Families::with_file(std::path::Path::new("no/such.json")).unwrap_err();
    assert_eq!(missing.to_string(), "no/such.json: cannot be read");
}

#[test]
fn published_geometries_come_out_to_the_byte() {
    let ranges = |kind: PatternKind, size| kind.predict(size).unwrap().ranges(8);
    // Akira at 50 percent: four tenths at 0, 12, 24 and 36 percent.
    assert_eq!(
        ranges(PatternKind::AkiraSpot { percent: 50 }, 10_000_000),
        [0..1_000_000, 1_200_000..2_200_000, 2_400_000..3_400_000, 3_600_000..4_600_000]
    );
    // ESXiArgs' first wave: 1 MiB of each (size in MiB / 100) MiB.
    let first = ranges(PatternKind::EsxiArgsHundredth, 40 << 30);
    assert_eq!(first[1], 409 << 20..410 << 20);
    // Conti at 20 percent: three chunks of 7 percent, equal gaps.
    assert_eq!(ranges(PatternKind::ContiPart { percent: 20 }, 1000), [0..70, 465..535, 930..1000]);
    assert_eq!(PatternKind::ContiPart { percent: 11 }.predict(1000), None);
    // Play: first, each second, and the last block.
    assert_eq!(
        ranges(PatternKind::PlayBlocks { block_bytes: 10, step: 2 }, 58),
        [0..10, 20..30, 40..58]
    );
}

proptest::proptest! {
    #[test]
    fn a_prediction_counts_what_it_contains(
        run in 1u64..50, step in 1u64..80, start in 0u64..100, count in 0u64..20, size in 0u64..1000,
    ) {
        let comb =
            Comb { start_bytes: start, run_bytes: run, step_bytes: step.max(run), count };
        let prediction = Prediction::new(size, vec![comb]);
        let contained = (0..size + 50).filter(|at| prediction.contains(*at)).count() as u64;
        proptest::prop_assert_eq!(prediction.encrypted_bytes(), contained);
        let listed: u64 = prediction.ranges(1000).iter().map(|range| range.end - range.start).sum();
        proptest::prop_assert_eq!(listed, contained);
    }
}
