//! Seeds for the fuzz targets of the small formats: target, name, bytes.

use super::{
    archive, checkpoint, host,
    log::{FORMS, Log},
    nvram, sealed,
    text::{Machine, three_snapshots, vmsd, vmxf},
};

/// One seed.
pub type Seed = (&'static str, String, Vec<u8>);

/// Every seed.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = Vec::new();
    let mut add = |targets: &[&'static str], name: &str, bytes: Vec<u8>| {
        for target in targets {
            seeds.push((target, name.to_owned(), bytes.clone()));
        }
    };
    let vmx = Machine::server("srv").vmx();
    let (bios, foundry) = (nvram::bios(), vmxf("srv.vmx"));
    add(&["vmx", "dict"], "server", vmx.clone());
    add(&["vmx"], "passphrase", sealed::passphrase_vmx("Sealed"));
    add(&["vmx"], "key-server", sealed::key_server_vmx("Sealed"));
    add(&["vmx"], "partial", sealed::partial_vmx());
    add(&["vmsd", "dict"], "three", vmsd(&three_snapshots(), 3, true));
    add(&["vmxf"], "foundry", foundry.clone());
    add(&["nvram"], "bios", bios.clone());
    add(&["nvram"], "efi", nvram::efi(&[("BootOrder", &[0, 0]), ("PK", &[1; 40])]));
    for magic in checkpoint::MAGICS {
        let file = checkpoint::disk_only(magic, &vmx, &bios, &foundry);
        add(&["vmsn", "vmsn_carve"], &format!("disk-only-{magic:x}"), file);
    }
    let mut packed = checkpoint::Checkpoint::new(checkpoint::MAGICS[2]);
    packed.group("Snapshot").packed("cfgFile", &[], &vmx);
    add(&["vmsn", "vmsn_carve"], "packed", packed.finish());
    let state = checkpoint::suspended(checkpoint::MAGICS[2], [&vmx, &bios, &foundry], 256, false);
    add(&["vmsn", "vmsn_carve"], "suspended", state);
    for form in FORMS {
        let mut log = Log::new(form);
        log.start()
            .power_on("/vmfs/volumes/ds/srv/srv.vmx", &Machine::server("srv").pairs(), true)
            .open_chain("scsi0:0", &[("/vmfs/a.vmdk", "a-flat.vmdk", 1 << 30)], 1 << 21)
            .line("ConfigDB: Setting memsize = \"8192\"")
            .line("ConfigDB: Unsetting all entries with prefix \"usb:0.\"")
            .line("VMX exit (0).");
        add(&["log"], &format!("{form:?}"), log.bytes());
    }
    let disk =
        archive::Disk { id: "d".into(), file: Some(("d.vmdk".into(), 9)), parent: None, gib: 1 };
    add(&["ovf"], "envelope", archive::ovf("srv", &[disk]));
    add(&["ovf"], "manifest", archive::manifest(&[("a.ovf", b"x")]));
    add(&["ovf"], "tar", archive::tar(&[("a.ovf", b"x"), ("b", &[7; 600])]));
    add(&["esxi"], "inventory", host::inventory(&[("2", "/vmfs/volumes/a/b.vmx")]));
    add(&["esxi"], "pools", host::pools());
    add(&["esxi"], "conf", host::esx_conf());
    add(&["esxi"], "locker", host::locker_conf());
    add(&["esxi"], "counter", host::backup_counter());
    add(&["esxi"], "vmtar", archive::vmtar(&[("a", &[1; 600])]));
    add(&["container"], "file", sealed::container(5000));
    add(&["container"], "envelope", sealed::envelope(500));
    seeds
}
