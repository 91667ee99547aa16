//! Configurations hidden and rebuilt: what comes back exactly, what is named as missing, and that
//! no secret is shown.

use std::{collections::BTreeMap, path::Path};

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{
        checkpoint::{MAGICS, disk_only},
        hurt::every_hurt,
        log::{FORMS, Form, Log},
        nvram,
        sealed::{SECRET, partial_vmx},
        text::{Machine, vmxf},
    },
};
use vmglean_formats::{
    dict::Dictionary,
    log::VmwareLog,
    vmsn::{Checkpoint, MAX_SPARE_BYTES},
};

use super::*;

fn keys(vmx: &[u8]) -> BTreeMap<String, String> {
    let read = Dictionary::parse("vmx", vmx).value;
    read.effective().map(|(key, entry)| (key.to_owned(), entry.value.clone())).collect()
}

/// How many of the true keys came back exactly; a key neither exact nor named as missing fails.
fn exact(truth: &BTreeMap<String, String>, rebuilt: &Rebuilt, never_told: &[&str]) -> usize {
    let mut exact = 0;
    for (key, value) in truth {
        match rebuilt.value(key) {
            Some(found) if found == value => exact += 1,
            Some(found) => panic!("{key}: {found:?} is not {value:?}"),
            None => {
                let named = rebuilt.missing.iter().any(|m| m.key.eq_ignore_ascii_case(key));
                assert!(named || never_told.contains(&key.as_str()), "{key} is lost in silence");
            }
        }
    }
    exact
}

fn from_vmx(kind: PieceKind, name: &str, bytes: &[u8]) -> Option<Piece> {
    Piece::from_vmx(kind, Path::new(name), None, 0, bytes)
}

fn from_log(name: &str, bytes: &[u8], latest: bool) -> Vec<Piece> {
    Piece::from_log(Path::new(name), &VmwareLog::parse(&bytes.to_vec()).value, latest)
}

fn server_log(form: Form, machine: &Machine) -> Log {
    let mut log = Log::new(form);
    let quoted = form != Form::Old && form != Form::Seconds;
    log.start().power_on("/vmfs/volumes/ds/srv/srv.vmx", &machine.pairs(), quoted);
    log
}

#[test]
fn a_whole_configuration_is_kept_byte_for_byte() {
    let vmx = Machine::server("srv").vmx();
    let mut old = Machine::server("srv");
    old.memory_mib = 1;
    let pieces = vec![
        from_vmx(PieceKind::Backup, "srv.vmx~", &old.vmx()).unwrap(),
        from_vmx(PieceKind::Vmx, "srv.vmx", &vmx).unwrap(),
    ];
    let rebuilt = rebuild(pieces);
    assert_eq!(rebuilt.to_vmx(), vmx);
    assert!(rebuilt.lines.iter().all(|line| line.confidence == Confidence::Current));
}

#[test]
fn from_the_log_alone_every_printed_key_is_exact_and_the_rest_is_named() {
    let mut machine = Machine::server("srv");
    machine.extra = (0..80).map(|n| (format!("pciBridge{n}.functions"), n.to_string())).collect();
    let truth = keys(&machine.vmx());
    for form in FORMS {
        let mut log = server_log(form, &machine);
        log.line("ConfigDB: Setting annotation = <not printed>");
        let rebuilt = rebuild(from_log("vmware.log", &log.bytes(), true));
        let exact = exact(&truth, &rebuilt, &[]);
        assert!(exact * 100 >= truth.len() * 96, "{form:?}: {exact} of {}", truth.len());
        let missing: Vec<&str> = rebuilt.missing.iter().map(|m| m.key.as_str()).collect();
        assert_eq!(missing, ["annotation"], "{form:?}");
        assert!(rebuilt.complete);
        assert_eq!(keys(&rebuilt.to_vmx()).len(), exact);
    }
}

#[test]
fn what_the_log_withholds_an_older_checkpoint_tells() {
    let machine = Machine::server("srv");
    let mut log = server_log(Form::Bracket, &machine);
    log.line("ConfigDB: Setting annotation = <not printed>")
        .line("ConfigDB: Setting memsize = \"8192\"")
        .line("ConfigDB: Unsetting \"vc.uuid\"");
    let mut pieces = from_log("vmware.log", &log.bytes(), true);
    let spare = from_vmx(PieceKind::Checkpoint, "srv-Snapshot1.vmsn", &machine.vmx()).unwrap();
    pieces.push(spare);
    let rebuilt = rebuild(pieces);
    let note = rebuilt.line("annotation").unwrap();
    assert_eq!(note.confidence, Confidence::Older);
    assert_eq!(note.why.as_deref(), Some("vmware.log does not tell this key"));
    let memory = rebuilt.line("memsize").unwrap();
    assert_eq!((memory.value.as_str(), memory.confidence), ("8192", Confidence::LastKnown));
    assert_eq!(memory.conflicts.len(), 1);
    assert_eq!(memory.conflicts[0].value, "4096");
    // Removed after the snapshot was taken: shown, not brought back.
    assert_eq!(rebuilt.value("vc.uuid"), None);
    assert_eq!(rebuilt.left_out.len(), 1);
    assert_eq!(rebuilt.left_out[0].key, "vc.uuid");
}

#[test]
fn a_log_that_prints_no_changes_leaves_boot_time_keys_to_others() {
    let mut first_boot = Machine::server("srv");
    first_boot.extra.clear();
    let mut pairs = first_boot.pairs();
    pairs.retain(|(key, _)| !key.starts_with("uuid."));
    let mut log = Log::new(Form::Old);
    log.start().power_on("srv.vmx", &pairs, false).line("PowerOn");
    let mut pieces = from_log("vmware.log", &log.bytes(), true);
    let spare = first_boot.vmx();
    pieces.push(from_vmx(PieceKind::Checkpoint, "s.vmsn", &spare).unwrap());
    let rebuilt = rebuild(pieces);
    assert_eq!(rebuilt.value("uuid.bios"), keys(&spare).get("uuid.bios").map(String::as_str));
}

#[test]
fn from_a_checkpoint_every_key_is_equal() {
    let machine = Machine::server("srv");
    let vmx = machine.vmx();
    for magic in MAGICS {
        let file = disk_only(magic, &vmx, &nvram::bios(), &vmxf("srv.vmx"));
        let block = Checkpoint::parse(&file).unwrap().value.cfg_file.unwrap();
        let text = block.read(&file, MAX_SPARE_BYTES).unwrap();
        let text = &text[..text.iter().position(|b| *b == 0).unwrap()];
        let piece = Piece::from_vmx(
            PieceKind::Checkpoint,
            Path::new("a.vmsn"),
            Some("cfgFile"),
            block.at.0,
            text,
        );
        let rebuilt = rebuild(vec![piece.unwrap()]);
        let truth = keys(&vmx);
        assert_eq!(exact(&truth, &rebuilt, &[]), truth.len());
        assert_eq!(keys(&rebuilt.to_vmx()), truth);
        // The place of a line is one of the checkpoint file itself.
        let line = rebuilt.line("displayName").unwrap();
        let at = usize::try_from(line.place.as_ref().unwrap().offset_bytes).unwrap();
        assert!(file[at..].starts_with(b"displayName"));
    }
}

#[test]
fn a_torn_configuration_never_gives_a_wrong_value() {
    let machine = Machine::server("srv");
    let vmx = machine.vmx();
    let truth = keys(&vmx);
    let mut log = server_log(Form::Level, &machine);
    log.line("ConfigDB: Setting cleanShutdown = \"FALSE\"");
    for (how, hurt) in every_hurt(&vmx) {
        let mut pieces: Vec<Piece> =
            from_vmx(PieceKind::Vmx, "srv.vmx", &hurt).into_iter().collect();
        for piece in &pieces {
            for (key, told) in &piece.told {
                let true_value = truth.get(key).map(String::as_str);
                assert_eq!(told.value.as_deref(), true_value, "{how}: {key}");
            }
        }
        pieces.extend(from_log("vmware.log", &log.bytes(), true));
        let rebuilt = rebuild(pieces);
        let whole_by_luck = rebuilt.verbatim.is_some();
        if !whole_by_luck {
            assert_eq!(exact(&truth, &rebuilt, &[]), truth.len(), "{how}");
        }
    }
}

#[test]
fn no_view_shows_a_secret_but_the_file_itself_has_it() {
    let rebuilt = rebuild(vec![from_vmx(PieceKind::Backup, "tpm.vmx~", &partial_vmx()).unwrap()]);
    let shown = format!("{rebuilt:?}") + &serde_json::to_string(&rebuilt).unwrap();
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(String::from_utf8(rebuilt.to_vmx()).unwrap().contains(SECRET));
}

#[test]
fn values_keep_their_bytes_in_the_charset_of_the_machine() {
    let bytes =
        b".encoding = \"windows-1252\"\nconfig.version = \"8\"\nvirtualHW.version = \"13\"\n\
        displayName = \"caf\xe9 |22x|22|0Aline\"\n";
    let mut rebuilt = rebuild(vec![from_vmx(PieceKind::Backup, "c.vmx~", bytes).unwrap()]);
    assert_eq!(rebuilt.value("displayname"), Some("café \"x\"\nline"));
    let text = rebuilt.to_vmx();
    assert!(memchr::memmem::find(&text, b"caf\xe9 |22x|22|0Aline").is_some());
    // What that charset cannot say goes out in UTF-8, and the file says so.
    rebuilt.change("displayName", "Ωμέγα", "a test");
    let text = String::from_utf8(rebuilt.to_vmx()).unwrap();
    assert!(text.starts_with(".encoding = \"UTF-8\"\n"), "{text}");
    assert_eq!(rebuilt.line("displayName").unwrap().was.as_deref(), Some("café \"x\"\nline"));
}

#[test]
fn with_nothing_but_a_disk_every_line_is_marked_guessed() {
    let mut disk = vec![0_u8; 40 * 512];
    disk[512..520].copy_from_slice(b"EFI PART");
    disk[1024..1040]
        .copy_from_slice(b"\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b");
    disk[1152..1168]
        .copy_from_slice(b"\x16\xe3\xc9\xe3\x5c\x0b\xb8\x4d\x81\x7d\xf9\x2d\xf0\x02\x15\xae");
    let guest = look_at_disk(&disk);
    assert_eq!((guest.efi, guest.kind), (Some(true), GuestKind::Windows));
    let mut rebuilt = rebuild(Vec::new());
    guess(&mut rebuilt, "srv", &guest, &HostFacts::default());
    assert_eq!(rebuilt.value("firmware"), Some("efi"));
    assert_eq!(rebuilt.value("ethernet0.startConnected"), Some("FALSE"));
    assert!(rebuilt.lines.iter().all(|line| line.confidence == Confidence::Guessed));
    let read = vmglean_formats::vmx::Vmx::parse(&rebuilt.to_vmx());
    assert_eq!(read.defects, []);

    let mut disk = vec![0_u8; 512];
    disk[446] = 0x80;
    disk[450] = 0x83;
    disk[510..].copy_from_slice(&[0x55, 0xaa]);
    let guest = look_at_disk(&disk);
    assert_eq!((guest.efi, guest.kind), (Some(false), GuestKind::Linux));
    assert_eq!(look_at_disk(&vec![7_u8; 4096]), Guest::default());
}

#[test]
fn the_corpus_configuration_comes_back_from_its_log_alone() {
    let (Some(log), Some(vmx)) =
        (corpus::file("vmx/vm-folder-b/vmware.log"), corpus::file("vmx/vm-folder-b/other.vmx"))
    else {
        println!("skipped: no corpus");
        return;
    };
    let truth = keys(&vmx);
    let rebuilt = rebuild(from_log("vmware.log", &log, true));
    let exact = exact(&truth, &rebuilt, &[]);
    assert!(exact * 100 >= truth.len() * 96, "{exact} of {}", truth.len());
    assert_eq!((exact, truth.len()), (44, 44));
}

#[test]
fn the_corpus_checkpoint_gives_every_key_of_its_configuration() {
    let Some(file) = corpus::file("checkpoint/sift-ws12.vmsn") else {
        println!("skipped: no corpus");
        return;
    };
    let block = Checkpoint::parse(&file).unwrap().value.cfg_file.unwrap();
    let text = block.read(&file, MAX_SPARE_BYTES).unwrap();
    let text = &text[..text.iter().position(|b| *b == 0).unwrap()];
    let piece = Piece::from_vmx(PieceKind::Checkpoint, Path::new("a.vmsn"), None, block.at.0, text)
        .unwrap();
    let rebuilt = rebuild(vec![piece]);
    let truth = keys(text);
    assert_eq!(exact(&truth, &rebuilt, &[]), truth.len());
    assert_eq!(keys(&rebuilt.to_vmx()), truth);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let vmx = Machine::server("srv").vmx();
        for text in [bytes.clone(), [&vmx[..vmx.len() / 2], &bytes].concat(), [&bytes, &vmx[..]].concat()] {
            let pieces = from_vmx(PieceKind::Vmx, "x", &text).into_iter().chain(from_log("l", &text, true));
            let rebuilt = rebuild(pieces.collect());
            let _ = (rebuilt.to_vmx(), look_at_disk(&text));
        }
    }
}
