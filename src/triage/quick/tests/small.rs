//! Small files by kind.

use super::disk::random;
use crate::{
    families::{Families, NameKind, split_suffix},
    triage::quick::{SmallContext, SmallState, judge_bytes, judge_small},
};

fn judge(name: &str, bytes: &[u8]) -> (SmallState, String) {
    let parts = split_suffix(name.as_bytes(), &Families::built_in().unwrap());
    let context =
        SmallContext { kind: parts.kind, suffixes: parts.suffixes, note_in_folder: false };
    let judged = judge_small(&bytes.to_vec(), &context);
    assert_eq!(judged, judge_bytes(bytes, &context));
    (judged.state, judged.reason)
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random(&mut bytes, 0, 7);
    bytes
}

const VMX: &str = ".encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \"19\"\n\
                   displayName = \"db01\"\nmemSize = \"8192\"\n";

#[test]
fn each_kind_is_told_by_its_own_marks() {
    let checkpoint = [b"\xd2\xbe\xd2\xbe".to_vec(), noise(20_000)].concat();
    let container =
        [0x8943_DD9E_u32.to_le_bytes().to_vec(), vec![1, 0, 0, 0], noise(8000)].concat();
    let nvram = [b"MRVN\x01\0\0\0CMOS".to_vec(), vec![0; 8000]].concat();
    let mut hit_nvram = nvram.clone();
    hit_nvram[1024..1536].copy_from_slice(&noise(512));
    let mut hit_log = "2026-01-01T00:00:00Z In(05) vmx - a word\n".repeat(200).into_bytes();
    let log = hit_log.clone();
    hit_log[4000..4512].copy_from_slice(&noise(512));
    let mut holed_log = log.clone();
    holed_log[4000..4512].fill(0);
    let padded = [b"# Disk DescriptorFile\nversion=1\n".to_vec(), vec![0; 480]].concat();
    let broken_nvram = [nvram.clone(), noise(8192)].concat();
    let half = [VMX.repeat(100).into_bytes(), noise(12_288)].concat();
    let gz = [b"\x1f\x8b\x08\0".to_vec(), noise(5000)].concat();
    let encrypted_vmx = b".encoding = \"UTF-8\"\ndisplayName = \"db01\"\n\
        encryption.keySafe = \"vmware:key/list/(pair/(phrase/x,HMAC,abc))\"\n\
        encryption.data = \"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=\"\n";
    let table: Vec<(&str, &[u8], SmallState)> = vec![
        ("db01.vmx", VMX.as_bytes(), SmallState::Intact),
        ("db01.vmx.akira", VMX.as_bytes(), SmallState::Intact),
        ("db01.vmx", &[], SmallState::Empty),
        ("db01.vmx", &[0; 700], SmallState::Zero),
        ("db01.vmx", encrypted_vmx, SmallState::LegitEncrypted),
        ("db01.nvram", &container, SmallState::LegitEncrypted),
        ("db01.nvram", &nvram, SmallState::Intact),
        ("db01.nvram", &broken_nvram, SmallState::Damaged),
        ("db01-Snapshot1.vmsn", &checkpoint, SmallState::Intact),
        ("db01.nvram", &hit_nvram, SmallState::Damaged),
        ("vmware.log", &log, SmallState::Intact),
        ("vmware.log", &hit_log, SmallState::Damaged),
        ("vmware.log", &holed_log, SmallState::Damaged),
        ("db01.vmdk", &padded, SmallState::Intact),
        ("vmware.log", &half, SmallState::Damaged),
        ("backup.dat", &gz, SmallState::Compressed),
        ("notes", b"just words, nothing else in here", SmallState::Intact),
        ("db01.vmx~", b"\x00\x01\x02\x03\x04\x05\x06\x07binary", SmallState::Damaged),
    ];
    for (name, bytes, wanted) in table {
        let (state, reason) = judge(name, bytes);
        assert_eq!(state, wanted, "{name}: {reason}");
    }
}

#[test]
fn random_bytes_are_encrypted_where_the_kind_is_never_random_and_else_random_like() {
    for length in [64, 100, 300, 1000, 3000, 9000, 100_000] {
        let bytes = noise(length);
        for name in ["db01.vmx", "db01.vmdk", "db01.vmsd", "vmware.log", "db01.vmxf", "db01.nvram"]
        {
            let (state, reason) = judge(name, &bytes);
            assert_eq!(state, SmallState::Encrypted, "{name} of {length}: {reason}");
        }
        assert_eq!(judge("key.bin", &bytes).0, SmallState::RandomLike, "{length}");
        assert_eq!(judge("key.vmem.akira", &bytes).0, SmallState::Encrypted, "{length}");
    }
}

#[test]
fn a_log_in_another_language_and_a_utf_16_file_are_text() {
    let log = "2026-01-01T00:00:00Z In(05) vmx - Überprüfung für größere Maße läuft\n".repeat(300);
    assert_eq!(judge("vmware.log", log.as_bytes()).0, SmallState::Intact);
    let wide: Vec<u8> =
        std::iter::once(0xFEFFu16).chain(VMX.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(judge("db01.vmx", &wide).0, SmallState::Intact);
}

#[test]
fn the_entropy_figure_is_that_of_the_entropy_crate() {
    let context = SmallContext { kind: NameKind::Other, suffixes: vec![], note_in_folder: false };
    let judged = judge_bytes(&noise(65_536), &context);
    assert!((judged.entropy_bits - 7.9972).abs() < 0.001, "{}", judged.entropy_bits);
    assert!((182.0..340.0).contains(&judged.chi_square));
}
