//! `.vmsn` and `.vmss`.

use vmglean_forge::vm::{
    checkpoint::{Checkpoint as Forge, MAGICS, disk_only, suspended},
    nvram,
    text::{Machine, vmxf},
};
use vmglean_formats::{
    nvram::Nvram,
    vmsn::{Checkpoint, MAX_SPARE_BYTES},
    vmx::Vmx,
    vmxf::Vmxf,
};

use crate::table::{Table, exact_or_refused, partial, told};

/// Structure and the three files inside: the values are right, or something tells.
fn judge(bytes: &[u8], right: &Checkpoint, whole: &[u8]) -> String {
    let file = bytes.to_vec();
    let found = match Checkpoint::parse(&file) {
        Ok(found) => found,
        Err(error) => return format!("refused: {error}"),
    };
    if let Some(told) = told(&found.defects) {
        return told;
    }
    let value = found.value;
    let same = value.groups == right.groups && value.tags == right.tags;
    for (block, kind) in
        [(value.cfg_file, "vmx"), (value.nvram_file, "nvram"), (value.extended_config_file, "vmxf")]
    {
        let Some(block) = block else { continue };
        let read = match block.read(&file, MAX_SPARE_BYTES) {
            Ok(read) => read,
            Err(error) => return format!("refused inside: {error}"),
        };
        let before = block.read(&whole.to_vec(), MAX_SPARE_BYTES).unwrap_or_default();
        if read == before {
            continue;
        }
        let text = value.read_text(&file, &block).unwrap();
        let defects = match kind {
            "vmx" => Vmx::parse(&text).defects,
            "nvram" => Nvram::parse(&read).defects,
            _ => Vmxf::parse(&text).defects,
        };
        if let Some(told) = told(&defects) {
            return format!("inside: {told}");
        }
        if kind == "nvram" {
            return "right: structure; bytes of a record are another's".to_owned();
        }
        return partial(&[], 0, 1, true);
    }
    partial(&[], 1, 1, !same)
}

pub(crate) fn tables() -> Vec<Table> {
    let mut machine = Machine::server("srv");
    machine.disks.clear();
    let spare = [machine.vmx(), nvram::bios(), vmxf("srv.vmx")];
    let mut table = Table::new("checkpoint");
    let whole = disk_only(MAGICS[2], &spare[0], &spare[1], &spare[2]);
    let right = Checkpoint::parse(&whole).unwrap().value;
    let answer = |bytes: &[u8]| judge(bytes, &right, &whole);
    table.hurt("disk only", &whole, answer);
    table.fields(
        &whole,
        answer,
        &[
            ("numGroups", 8, 4),
            ("group position", 76, 8),
            ("group size", 84, 8),
            ("block sizeOnDisk", 101, 8),
            ("block padLen", 117, 2),
        ],
    );
    table.patches(
        &whole,
        answer,
        &[
            ("another magic", 0, b"KDMV"),
            ("a magic of nothing", 0, b"\0\0\0\0"),
            ("the old magic", 0, &0xBED0_BED0_u32.to_le_bytes()),
            ("a group name of no letters", 12, b"\xff\xfe"),
            ("a group name of nothing", 12, &[0; 64]),
            ("a group name with letters behind its NUL", 70, b"x"),
            ("a tag of a long name", 93, b"\xff"),
            ("a tag of no name", 93, b"\0"),
            ("a tag name of no letters", 94, b"\x01\x02"),
            ("a tag of three indices", 92, b"\xff"),
            ("a tag that is compressed", 92, b"\x3e"),
            ("a tag that ends the group", 92, b"\0\0"),
            ("bytes behind the last group", whole.len() - 2, b"\x01\x02"),
        ],
    );
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("eleven bytes", whole[..11].to_vec()),
        ("a header alone", whole[..12].to_vec()),
        ("half a group", whole[..50].to_vec()),
        ("one byte less", whole[..whole.len() - 1].to_vec()),
        ("one byte more", [whole.as_slice(), b"x"].concat()),
        ("a note behind it", [whole.as_slice(), b"YOUR FILES"].concat()),
        ("a hundred bytes before it", [&[0; 100][..], &whole].concat()),
    ] {
        table.add(name, answer(&bytes));
    }
    let state = suspended(MAGICS[2], [&spare[0], &spare[1], &spare[2]], 256, false);
    let right = Checkpoint::parse(&state).unwrap().value;
    let answer = |bytes: &[u8]| judge(bytes, &right, &state);
    for group in 0..right.groups.len() {
        let at = 12 + 80 * group;
        let name = &right.groups[group].name;
        table.fields(
            &state,
            answer,
            &[(&format!("{name} position"), at + 64, 8), (&format!("{name} size"), at + 72, 8)],
        );
    }
    let memory = |count: u32, parts: &[(&str, u32, u32)]| {
        let mut forge = Forge::new(MAGICS[2]);
        forge.group("memory").inline("regionsCount", &[], &count.to_le_bytes());
        for (name, index, value) in parts {
            forge.inline(name, &[*index], &value.to_le_bytes());
        }
        let file = forge.finish();
        exact_or_refused(Checkpoint::parse(&file), &right)
    };
    let region = [("regionPPN", 0, 0), ("regionPageNum", 0, 0), ("regionSize", 0, 16)];
    for (name, count, parts) in [
        ("a region too few", 2, region.to_vec()),
        ("no region at all", 1, Vec::new()),
        ("2^32 regions", u32::MAX, region.to_vec()),
        ("a region without a size", 1, region[..2].to_vec()),
        (
            "two regions at one place",
            2,
            [
                region.to_vec(),
                vec![("regionPPN", 1, 4096), ("regionPageNum", 1, 8), ("regionSize", 1, 16)],
            ]
            .concat(),
        ),
    ] {
        table.add(format!("memory with {name}"), memory(count, &parts));
    }
    vec![table]
}
