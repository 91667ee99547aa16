//! `.vmxf`.

use proptest::prelude::*;
use vmglean_forge::{
    corpus,
    vm::{hurt::every_hurt, text},
};

use super::*;

#[test]
fn a_forged_file_names_its_vmx() {
    let found = Vmxf::parse(&text::vmxf("a & b.vmx"));
    assert_eq!(found.defects, []);
    assert_eq!(found.value.vmx_path_name.as_deref(), Some("a & b.vmx"));
    assert_eq!(found.value.fields().len(), 2);
}

#[test]
fn a_file_without_its_names_says_so() {
    let found = Vmxf::parse(b"<Foundry><VM/></Foundry>");
    let texts: Vec<String> = found.defects.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["vmxf.VM at 0x0: <VMId> is missing", "vmxf.VM at 0x0: <vmxPathName> is missing"]
    );
}

#[test]
fn every_hurt_leaves_the_name_or_a_defect() {
    let long = format!("{}.vmx", "n".repeat(900));
    let whole = text::vmxf(&long);
    for (how, hurt) in every_hurt(&whole) {
        let found = Vmxf::parse(&hurt);
        let right = found.value.vmx_path_name.as_deref() == Some(long.as_str());
        assert!(right || !found.defects.is_empty(), "{how}");
    }
}

#[test]
fn the_corpus_reads_as_its_sources_say() {
    for (path, name) in [
        ("vmx/vm-folder-a/Ubuntu_64-bit.vmxf", "Ubuntu 64-bit.vmx"),
        ("vmx/vm-folder-b/other.vmxf", "other.vmx"),
    ] {
        let Some(file) = corpus::file(path) else {
            println!("left out: VMGLEAN_CORPUS names no folder");
            return;
        };
        let found = Vmxf::parse(&file);
        assert_eq!(found.defects, [], "{path}");
        assert_eq!(found.value.vmx_path_name.as_deref(), Some(name));
        assert!(found.value.vm_id.is_some());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Vmxf::parse(&[b"<Foundry><VM><VMId>", bytes.as_slice()].concat());
    }
}
