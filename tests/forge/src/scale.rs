//! Large estates that cost little disk: many small folders, or many sparse disks.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

/// Bytes of every disk of [`sparse_estate`].
pub const DISK_BYTES: u64 = 125 << 30;
/// Pieces of data in each of those disks, spread evenly: four times as many as samples are taken.
const PIECES: u64 = 4 * 688;
const PIECE_BYTES: usize = 64 << 10;
/// Disks with content of their own; the others are hard links to them, for they would take 400 GB.
const CONTENTS: u64 = 12;

/// A configuration of about 64 lines, as ESXi writes them.
#[must_use]
pub fn vmx_text(name: &str, number: u64, disks: &[String]) -> String {
    let mut text = format!(
        ".encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \"14\"\n\
         displayName = \"{name}\"\nguestOS = \"windows9srv-64\"\nmemSize = \"8192\"\n\
         numvcpus = \"4\"\nnvram = \"{name}.nvram\"\nextendedConfigFile = \"{name}.vmxf\"\n\
         uuid.bios = \"56 4d {a:02x} {b:02x} {c:02x} {d:02x} 11 22-33 44 55 66 77 88 99 aa\"\n\
         uuid.location = \"56 4d {a:02x} {b:02x} {c:02x} {d:02x} 11 22-33 44 55 66 77 88 99 aa\"\n\
         scsi0.present = \"TRUE\"\nscsi0.virtualDev = \"pvscsi\"\n",
        a = number >> 24 & 0xff,
        b = number >> 16 & 0xff,
        c = number >> 8 & 0xff,
        d = number & 0xff,
    );
    for (unit, disk) in disks.iter().enumerate() {
        text.push_str(&format!(
            "scsi0:{unit}.present = \"TRUE\"\nscsi0:{unit}.deviceType = \"scsi-hardDisk\"\n\
             scsi0:{unit}.fileName = \"{disk}\"\n"
        ));
    }
    for bridge in 0..12 {
        text.push_str(&format!(
            "pciBridge{bridge}.present = \"TRUE\"\npciBridge{bridge}.functions = \"8\"\n\
             pciBridge{bridge}.pciSlotNumber = \"{}\"\n",
            17 + bridge
        ));
    }
    text.push_str(
        "ethernet0.present = \"TRUE\"\nethernet0.virtualDev = \"vmxnet3\"\n\
         ethernet0.networkName = \"VM Network\"\nethernet0.addressType = \"generated\"\n\
         tools.syncTime = \"FALSE\"\ncleanShutdown = \"TRUE\"\nsoftPowerOff = \"FALSE\"\n",
    );
    text
}

/// The descriptor of a flat disk on a VMFS datastore.
#[must_use]
pub fn descriptor_text(flat: &str, sectors: u64, number: u64) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID={cid:08x}\n\
         parentCID=ffffffff\nisNativeSnapshot=\"no\"\ncreateType=\"vmfs\"\n\n\
         # Extent description\nRW {sectors} VMFS \"{flat}\"\n\n# The Disk Data Base\n#DDB\n\n\
         ddb.adapterType = \"lsilogic\"\nddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\n\
         ddb.longContentID = \"0123456789abcdef01234567{cid:08x}\"\n\
         ddb.thinProvisioned = \"1\"\nddb.virtualHWVersion = \"14\"\n",
        cid = 0x1000_0000 + number,
        cylinders = sectors / 16065,
    )
}

/// `count` folders with a configuration and a descriptor each, and no data.
///
/// # Errors
/// As the file system says.
pub fn small_files(out: &Path, count: u64) -> io::Result<()> {
    for number in 0..count {
        let name = format!("vm{number:05}");
        let folder = out.join(format!("ds{:02}", number / 500)).join(&name);
        fs::create_dir_all(&folder)?;
        let disk = format!("{name}.vmdk");
        fs::write(
            folder.join(format!("{name}.vmx")),
            vmx_text(&name, number, std::slice::from_ref(&disk)),
        )?;
        let flat = format!("{name}-flat.vmdk");
        fs::write(folder.join(disk), descriptor_text(&flat, 83_886_080, number))?;
    }
    Ok(())
}

/// `machines` machines with two sparse disks of 125 GiB each: a boot sector, a partition, pieces
/// of text all over, holes between. A dozen contents are shared by hard links.
///
/// # Errors
/// As the file system says.
pub fn sparse_estate(out: &Path, machines: u64) -> io::Result<()> {
    let mut contents = Vec::new();
    for number in 0..machines {
        let name = format!("vm{number:04}");
        let folder = out.join(format!("ds{:02}", number / 100)).join(&name);
        fs::create_dir_all(&folder)?;
        let mut disks = Vec::new();
        for unit in 0..2 {
            let stem = if unit == 0 { name.clone() } else { format!("{name}_{unit}") };
            let flat = format!("{stem}-flat.vmdk");
            let text = descriptor_text(&flat, DISK_BYTES / 512, number * 2 + unit);
            fs::write(folder.join(format!("{stem}.vmdk")), text)?;
            let (disk, content) = (folder.join(flat), (number * 2 + unit) % CONTENTS);
            match contents.get(content as usize) {
                Some(known) => fs::hard_link(known, &disk)?,
                None => {
                    sparse_disk(&disk, content)?;
                    contents.push(disk);
                }
            }
            disks.push(format!("{stem}.vmdk"));
        }
        fs::write(folder.join(format!("{name}.vmx")), vmx_text(&name, number, &disks))?;
    }
    Ok(())
}

fn sparse_disk(path: &Path, seed: u64) -> io::Result<()> {
    let file = File::create(path)?;
    file.set_len(DISK_BYTES)?;
    file.write_all_at(&boot_sector(), 0)?;
    let piece = text(seed, PIECE_BYTES);
    for number in 0..PIECES {
        let at = (1 << 20) + number * (DISK_BYTES / PIECES);
        file.write_all_at(&piece, at / 4096 * 4096)?;
    }
    Ok(())
}

/// A master boot record with one NTFS partition from 1 MiB on.
fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[446] = 0x80;
    sector[450] = 7;
    sector[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    let length = u32::try_from(DISK_BYTES / 512 - 4096).unwrap_or(u32::MAX);
    sector[458..462].copy_from_slice(&length.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Plain words, the same for the same seed.
#[must_use]
pub fn text(seed: u64, bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "invoice", "order", "the", "customer", "of", "ledger", "2026", "total", "and", "backup",
        "server", "in", "table", "user", "row", "to",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 16);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(WORDS[(state >> 60) as usize].as_bytes());
        out.push(if state & 0x3f == 0 { b'\n' } else { b' ' });
    }
    out.truncate(bytes);
    out
}
