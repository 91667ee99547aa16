//! Small inputs of every kind, for fuzzing and for tests that damage them one sector at a time.

use super::{
    Disk, Forged,
    cowd::{self, CowdSpec},
    descriptor::{DescriptorSpec, ExtentLine},
    sesparse::{self, JournalSpec, Owner, SeSparseSpec},
    sparse::{self, SparseSpec},
    stream::{self, StreamLayout, StreamSpec},
};

/// A named small extent.
pub struct Seed {
    /// What it is, fit for a file name.
    pub name: &'static str,
    /// The extent.
    pub forged: Forged,
    /// Which reader it is for: `sparse`, `stream`, `cowd`, `sesparse`.
    pub family: &'static str,
}

/// Descriptors of every create type.
#[must_use]
pub fn descriptors() -> Vec<(String, String)> {
    let kinds = [
        ("monolithicSparse", "SPARSE", "a.vmdk"),
        ("monolithicFlat", "FLAT", "a-flat.vmdk"),
        ("twoGbMaxExtentSparse", "SPARSE", "a-s001.vmdk"),
        ("twoGbMaxExtentFlat", "FLAT", "a-f001.vmdk"),
        ("streamOptimized", "SPARSE", "a disk1.vmdk"),
        ("fullDevice", "FLAT", "/dev/sda"),
        ("partitionedDevice", "FLAT", "/dev/sda1"),
        ("custom", "FLAT", "c.vmdk"),
        ("vmfs", "VMFS", "a-flat.vmdk"),
        ("vmfsSparse", "VMFSSPARSE", "a-000001-delta.vmdk"),
        ("seSparse", "SESPARSE", "a-000001-sesparse.vmdk"),
        ("vmfsRawDeviceMap", "VMFSRDM", "a-rdm.vmdk"),
        ("vmfsPassthroughRawDeviceMap", "VMFSRDM", "a-rdmp.vmdk"),
        ("vmfsRaw", "VMFSRAW", "/vmfs/devices/disks/naa.600"),
    ];
    kinds
        .iter()
        .map(|(create, kind, name)| {
            let mut spec = DescriptorSpec::new(create, ExtentLine::new(8192, kind, name));
            if matches!(*kind, "VMFSSPARSE" | "SESPARSE") {
                spec = spec.child_of(0xa454_774a, "a.vmdk");
            }
            ((*create).to_owned(), spec.text())
        })
        .collect()
}

/// A small disk: data in several tables, a torn write, a last grain that is cut by the capacity.
fn small(grain: u64, capacity: u64) -> Disk {
    let bytes = grain * 512;
    let end = capacity * 512;
    Disk::new(capacity)
        .pattern(0, 2 * bytes, 1)
        .pattern(5 * bytes + 512, bytes, 2)
        .pattern(520 * bytes, 3 * bytes, 3)
        .pattern(end - 1024, 1024, 4)
        .zero(10 * bytes)
        .zero(600 * bytes)
}

/// seSparse extents in areas that are not rounded up to MiB, so that a fuzzer's inputs reach them.
#[must_use]
pub fn tiny_sesparse() -> Vec<Seed> {
    [("sesparse-tiny", JournalSpec::Clean), ("sesparse-tiny-dirty", JournalSpec::Dirty)]
        .into_iter()
        .map(|(name, journal)| {
            let disk =
                Disk::new(40_000).pattern(0, 8192, 1).pattern(4097 * 4096, 12_288, 3).zero(40_960);
            let spec =
                SeSparseSpec { journal, unit: 50, reversed: true, ..SeSparseSpec::default() };
            Seed { name, forged: sesparse::write(&disk, &spec), family: "sesparse" }
        })
        .collect()
}

/// Every kind of sparse extent, small.
#[must_use]
pub fn extents() -> Vec<Seed> {
    let grain16 = small(16, 700 * 16 - 3);
    let inside = |create: &str| {
        Some(DescriptorSpec::new(create, ExtentLine::new(11_197, "SPARSE", "a.vmdk")).text())
    };
    let sparse = |spec: &SparseSpec| sparse::write(&grain16, spec);
    let stream = |spec: &StreamSpec| stream::write(&grain16, spec);
    let base = SparseSpec { grain: 16, ..SparseSpec::default() };
    let packed =
        StreamSpec { grain: 16, descriptor: inside("streamOptimized"), ..StreamSpec::default() };
    let delta = small(1, 9000);
    let wide = small(8, 9001);
    let mut seeds = Vec::new();
    let mut add = |family, name, forged| seeds.push(Seed { name, forged, family });
    add(
        "sparse",
        "kdmv-v1-both-copies",
        sparse(&SparseSpec { descriptor: inside("monolithicSparse"), ..base.clone() }),
    );
    add("sparse", "kdmv-v1-one-copy", sparse(&SparseSpec { redundant: false, ..base.clone() }));
    add(
        "sparse",
        "kdmv-v2-zeroed-grains",
        sparse(&SparseSpec { version: 2, zeroed: true, ..base.clone() }),
    );
    add("sparse", "kdmv-v3-reversed", sparse(&SparseSpec { version: 3, reversed: true, ..base }));
    add("stream", "stream-footer", stream(&packed));
    add(
        "stream",
        "stream-footer-progress",
        stream(&StreamSpec { progress: true, ..packed.clone() }),
    );
    add("stream", "stream-trailing", stream(&StreamSpec { trailing: 700, ..packed.clone() }));
    add(
        "stream",
        "stream-front",
        stream(&StreamSpec { layout: StreamLayout::Front, ..packed.clone() }),
    );
    add(
        "stream",
        "stream-qemu",
        stream(&StreamSpec { layout: StreamLayout::Qemu, ..packed.clone() }),
    );
    add(
        "stream",
        "stream-without-addresses",
        stream(&StreamSpec { lba: false, layout: StreamLayout::Front, ..packed.clone() }),
    );
    add("stream", "stream-empty", stream::write(&Disk::new(11_197), &packed));
    add("cowd", "cowd", cowd::write(&delta, &CowdSpec::default()));
    add(
        "cowd",
        "cowd-wide-grains-reversed",
        cowd::write(&wide, &CowdSpec { grain: 8, reversed: true, grown: false }),
    );
    for (name, journal, owner, reversed) in [
        ("sesparse-clean", JournalSpec::Clean, Owner::TableSlot, false),
        ("sesparse-reversed", JournalSpec::Empty, Owner::TableSlot, true),
        ("sesparse-by-grain", JournalSpec::Clean, Owner::VirtualGrain, true),
        ("sesparse-dirty", JournalSpec::Dirty, Owner::TableSlot, true),
    ] {
        // Two tables: 16 MiB each.
        let disk = Disk::new(40_000)
            .pattern(0, 8192, 1)
            .pattern(20_480, 4096, 2)
            .pattern(4097 * 4096, 12_288, 3)
            .zero(40_960);
        let unmapped = [20_480].into();
        let spec = SeSparseSpec { reversed, owner, journal, unmapped, ..SeSparseSpec::default() };
        add("sesparse", name, sesparse::write(&disk, &spec));
    }
    seeds
}
