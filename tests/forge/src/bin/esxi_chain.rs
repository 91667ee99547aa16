//! Writes the two deltas of an ESXi chain over a flat base, for measuring how chains are read:
//! `esxi_chain FOLDER SECTORS`. The base, `vm-flat.vmdk`, must lie there already.

use std::{error::Error, fs, path::PathBuf};

use vmglean_forge::vmdk::{
    Disk, cowd,
    descriptor::{DescriptorSpec, ExtentLine},
    sesparse,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("a folder")?);
    let sectors: u64 = args.next().ok_or("the size in sectors")?.parse()?;
    // Pieces all over the disk, as a guest writes them.
    let scatter = |piece: u64, every: u64, seed: u64| {
        let mut disk = Disk::new(sectors);
        let mut at = seed * piece;
        while at + piece <= sectors * 512 {
            disk = disk.pattern(at, piece, seed);
            at += every;
        }
        disk
    };
    let describe = |name: &str, kind: &str, word: &str, extent: &str, cid: u32| {
        let mut spec = DescriptorSpec::new(kind, ExtentLine::new(sectors, word, extent));
        spec.cid = cid;
        spec.ddb.retain(|(key, _)| key != "longContentID");
        (folder.join(name), spec)
    };
    let (path, base) = describe("vm.vmdk", "vmfs", "VMFS", "vm-flat.vmdk", 1);
    fs::write(path, base.text())?;
    let one = scatter(8192, 1 << 20, 3);
    let delta = cowd::write(&one, &cowd::CowdSpec::default());
    delta.image.write_to(&folder.join("vm-000001-delta.vmdk"))?;
    let (path, spec) =
        describe("vm-000001.vmdk", "vmfsSparse", "VMFSSPARSE", "vm-000001-delta.vmdk", 2);
    fs::write(path, spec.child_of(1, "vm.vmdk").text())?;
    let two = scatter(16_384, 2 << 20, 5);
    let se = sesparse::SeSparseSpec {
        journal: sesparse::JournalSpec::Empty,
        ..sesparse::SeSparseSpec::default()
    };
    sesparse::write(&two, &se).image.write_to(&folder.join("vm-000002-sesparse.vmdk"))?;
    let (path, spec) =
        describe("vm-000002.vmdk", "seSparse", "SESPARSE", "vm-000002-sesparse.vmdk", 3);
    fs::write(path, spec.child_of(2, "vm-000001.vmdk").text())?;
    Ok(())
}
