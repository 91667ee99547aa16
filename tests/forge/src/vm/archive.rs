//! OVF envelopes, manifests, tar archives.

use std::fmt::Write as _;

/// A disk of a forged envelope: id, file (name and bytes), parent id, capacity in GiB.
#[derive(Clone, Debug)]
pub struct Disk {
    /// `ovf:diskId`.
    pub id: String,
    /// Name and length of its file.
    pub file: Option<(String, u64)>,
    /// `ovf:parentRef`.
    pub parent: Option<String>,
    /// Capacity.
    pub gib: u64,
}

/// An `.ovf`.
#[must_use]
pub fn ovf(name: &str, disks: &[Disk]) -> Vec<u8> {
    let (mut files, mut section, mut items) = (String::new(), String::new(), String::new());
    for (n, disk) in disks.iter().enumerate() {
        let file = disk.file.as_ref().map_or(String::new(), |(href, size)| {
            let _ = writeln!(
                files,
                "<File ovf:href=\"{href}\" ovf:id=\"file{n}\" ovf:size=\"{size}\"/>"
            );
            format!(" ovf:fileRef=\"file{n}\"")
        });
        let parent =
            disk.parent.as_ref().map_or(String::new(), |id| format!(" ovf:parentRef=\"{id}\""));
        let _ = writeln!(
            section,
            "<Disk ovf:capacity=\"{}\" ovf:capacityAllocationUnits=\"byte * 2^30\" \
             ovf:diskId=\"{}\"{file}{parent} ovf:format=\"http://www.vmware.com/interfaces/\
             specifications/vmdk.html#streamOptimized\"/>",
            disk.gib, disk.id
        );
        let _ = writeln!(
            items,
            "<Item><rasd:AddressOnParent>{n}</rasd:AddressOnParent>\
             <rasd:HostResource>ovf:/disk/{}</rasd:HostResource>\
             <rasd:InstanceID>{}</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType></Item>",
            disk.id,
            n + 10
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" \
         xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\" \
         xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\">\n\
         <References>\n{files}</References>\n<DiskSection>\n{section}</DiskSection>\n\
         <NetworkSection><Network ovf:name=\"VM Network\"/></NetworkSection>\n\
         <VirtualSystem ovf:id=\"{name}\"><Name>{name}</Name>\n<VirtualHardwareSection>\n{items}\
         </VirtualHardwareSection></VirtualSystem>\n</Envelope>\n"
    )
    .into_bytes()
}

/// One tar header.
fn header(name: &str, size: usize, flag: u8, magic: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"14000000000");
    block[148..156].copy_from_slice(b"        ");
    block[156] = flag;
    block[257..257 + magic.len()].copy_from_slice(magic);
    block
}

fn sign(block: &mut [u8]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A ustar archive.
#[must_use]
pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in members {
        let mut block = header(name, data.len(), b'0', b"ustar\x0000");
        sign(&mut block);
        out.extend_from_slice(&block);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// A vmtar: headers together, data behind them at 4 KiB steps.
#[must_use]
pub fn vmtar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut headers = Vec::new();
    let mut data_area: Vec<u8> = Vec::new();
    let base = ((members.len() + 1) * 512).next_multiple_of(4096);
    for (name, data) in members {
        let mut block = header(name, data.len(), b'0', b"visor  ");
        if !data.is_empty() {
            block[496..500].copy_from_slice(&((base + data_area.len()) as u32).to_le_bytes());
        }
        sign(&mut block);
        headers.extend_from_slice(&block);
        data_area.extend_from_slice(data);
        data_area.resize(data_area.len().next_multiple_of(4096), 0);
    }
    headers.resize(base, 0);
    headers.extend_from_slice(&data_area);
    headers
}

/// Manifest lines of SHA-256 for these files.
#[must_use]
pub fn manifest(files: &[(&str, &[u8])]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let mut out = String::new();
    for (name, data) in files {
        let hex: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(out, "SHA256({name})= {hex}");
    }
    out.into_bytes()
}
