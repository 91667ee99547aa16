#![no_main]
use vmglean_formats as f;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = (
        f::esxi::VmInventory::parse(bytes),
        f::esxi::ResourcePools::parse(bytes),
        f::esxi::AutoStart::parse(bytes),
        f::esxi::EsxConf::parse(bytes),
        f::esxi::LockerConf::parse(bytes),
        f::esxi::BackupCounter::parse(bytes),
        f::esxi::Vmtar::read(&bytes),
    );
});
