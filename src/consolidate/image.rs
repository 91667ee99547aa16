//! Headers and descriptors of the disks that are made.
//!
//! VMware, "Virtual Disk Format 5.0". Geometry: measured on descriptors of ESXi hosts.

use std::fmt::Write as _;

use vmglean_formats::Sectors;
use vmglean_formats::vmdk::{ContentId, SparseLayout};

use crate::disk::ChainLink;

/// Sectors of a grain in what is made: 64 KiB, as VMware writes them.
pub(super) const GRAIN_SECTORS: u64 = 128;
/// Bytes of a grain.
pub(super) const GRAIN: u64 = GRAIN_SECTORS * 512;
/// Where an embedded descriptor lies, and its room.
const DESCRIPTOR: (u64, u64) = (1, 20);
/// Entries of a grain table.
pub(super) const ENTRIES: u64 = 512;

/// What a made disk says of itself.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) cid: ContentId,
    pub(super) long_content_id: String,
    adapter: String,
    hardware: String,
    uuid: Option<String>,
    geometry: (u64, u64, u64),
}

impl Identity {
    /// The identity of the disk that the links from `first` down are; `damaged` gives it a
    /// content ID of its own, since its content is another.
    pub(super) fn of(links: &[ChainLink], first: usize, sectors: u64, damaged: bool) -> Self {
        let chain = || links.iter().skip(first);
        // A child on ESXi carries no such keys: the base has them.
        let from_base = |pick: fn(&ChainLink) -> Option<String>| chain().rev().find_map(pick);
        let own = chain().next();
        let adapter = from_base(|link| link.adapter_type.clone())
            .filter(|word| is_word(word))
            .unwrap_or_else(|| "lsilogic".to_owned());
        let mut seed = blake3::Hasher::new();
        for link in chain() {
            seed.update(
                format!("{:?}{:?}{}", link.cid, link.long_content_id, link.capacity).as_bytes(),
            );
        }
        seed.update(&[u8::from(damaged)]);
        let seed = seed.finalize();
        let derived = u32::from_le_bytes(seed.as_bytes()[..4].try_into().unwrap_or_default());
        let cid = own
            .and_then(|link| link.cid)
            .filter(|cid| *cid != ContentId::NO_PARENT && !damaged)
            // The two reserved values have bits that this one lacks.
            .unwrap_or(ContentId(derived & 0x7fff_ffff));
        let long_content_id = own
            .and_then(|link| link.long_content_id.clone())
            .filter(|long| ContentId::from_long_content_id(long) == Some(cid))
            .map_or_else(
                || format!("{}{cid}", hex::encode(&seed.as_bytes()[4..16])),
                |long| long.trim().to_ascii_lowercase(),
            );
        let geometry = chain()
            .rev()
            .find_map(|link| link.geometry)
            .map(|g| (g.cylinders, g.heads, g.sectors))
            .filter(|(c, h, s)| {
                // One that belongs to another size would hide the disk's end from a guest.
                c.checked_mul(*h)
                    .and_then(|n| n.checked_mul(*s))
                    .is_some_and(|n| n > 0 && n <= sectors && sectors - n < h.saturating_mul(*s))
            })
            .unwrap_or_else(|| geometry(&adapter, sectors));
        Self {
            cid,
            long_content_id,
            hardware: from_base(|link| link.hardware_version.clone())
                .filter(|word| is_word(word))
                .unwrap_or_else(|| "8".to_owned()),
            uuid: from_base(|link| link.uuid.clone())
                .filter(|uuid| uuid.chars().all(|c| c.is_ascii_hexdigit() || c == ' ' || c == '-')),
            adapter,
            geometry,
        }
    }

    /// A descriptor with one extent line.
    pub(super) fn descriptor(&self, create_type: &str, extent: &str) -> String {
        let mut out = String::from("# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n");
        let _ = writeln!(out, "CID={}\nparentCID=ffffffff", self.cid);
        let _ = writeln!(out, "createType=\"{create_type}\"\n");
        let _ = writeln!(out, "# Extent description\n{extent}\n");
        let _ = writeln!(out, "# The Disk Data Base\n#DDB\n");
        let _ = writeln!(out, "ddb.adapterType = \"{}\"", self.adapter);
        let (cylinders, heads, sectors) = self.geometry;
        let _ = writeln!(out, "ddb.geometry.cylinders = \"{cylinders}\"");
        let _ = writeln!(out, "ddb.geometry.heads = \"{heads}\"");
        let _ = writeln!(out, "ddb.geometry.sectors = \"{sectors}\"");
        let _ = writeln!(out, "ddb.longContentID = \"{}\"", self.long_content_id);
        if let Some(uuid) = &self.uuid {
            let _ = writeln!(out, "ddb.uuid = \"{uuid}\"");
        }
        let _ = writeln!(out, "ddb.virtualHWVersion = \"{}\"", self.hardware);
        out
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.len() < 32 && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Cylinders, heads and sectors for an adapter and a size.
fn geometry(adapter: &str, sectors: u64) -> (u64, u64, u64) {
    let (heads, track) = if adapter.eq_ignore_ascii_case("ide") {
        (16, 63)
    } else {
        match sectors {
            4_194_304.. => (255, 63),
            2_097_152.. => (128, 32),
            _ => (64, 32),
        }
    };
    ((sectors / (heads * track)).max(1), heads, track)
}

/// The 512 bytes of a header. `places`: redundant grain directory, grain directory, overhead.
fn header(
    version: u32,
    flags: u32,
    capacity: u64,
    places: (u64, u64, u64),
    deflate: u16,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"KDMV");
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    for value in [capacity, GRAIN_SECTORS, DESCRIPTOR.0, DESCRIPTOR.1] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&512_u32.to_le_bytes());
    for value in [places.0, places.1, places.2] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.push(0);
    out.extend_from_slice(&[0x0a, 0x20, 0x0d, 0x0a]);
    out.extend_from_slice(&deflate.to_le_bytes());
    out.resize(512, 0);
    out
}

/// The layout of a sparse extent with its descriptor inside; `None` past what 64 bits count.
pub(super) fn sparse_layout(sectors: u64) -> Option<SparseLayout> {
    let descriptor = Some((Sectors(DESCRIPTOR.0), Sectors(DESCRIPTOR.1)));
    SparseLayout::from_capacity(Sectors(sectors), Sectors(GRAIN_SECTORS), descriptor)
}

fn embedded(text: &str) -> Vec<u8> {
    let mut out = text.as_bytes().to_vec();
    out.resize(usize::try_from(DESCRIPTOR.1 * 512).unwrap_or(0), 0);
    out
}

/// Header, descriptor and both grain directories of a sparse extent, with their places.
pub(super) fn sparse_front(layout: &SparseLayout, text: &str) -> Vec<(u64, Vec<u8>)> {
    let places = (layout.redundant_gd.0, layout.gd.0, layout.overhead.0);
    let mut front = header(1, 3, layout.capacity.0, places, 0);
    front.extend(embedded(text));
    let mut writes = vec![(0, front)];
    for (start, place) in [
        (
            layout.redundant_gd.0,
            SparseLayout::redundant_table as fn(&SparseLayout, u64) -> Option<u64>,
        ),
        (layout.gd.0, SparseLayout::table),
    ] {
        let directory: Vec<u8> = (0..layout.tables)
            .map(|table| place(layout, table).and_then(|s| u32::try_from(s).ok()).unwrap_or(0))
            .flat_map(u32::to_le_bytes)
            .collect();
        writes.push((start * 512, directory));
    }
    writes
}

const STREAM_FLAGS: u32 = 0x3_0001;
/// First sector behind the header and descriptor of a stream.
pub(super) const STREAM_OVERHEAD: u64 = 128;

/// Header and descriptor of a stream whose grain directory stands at its end.
pub(super) fn stream_front(sectors: u64, text: &str) -> Vec<u8> {
    let places = (0, u64::MAX, STREAM_OVERHEAD);
    let mut out = header(3, STREAM_FLAGS, sectors, places, 1);
    out.extend(embedded(text));
    out.resize(usize::try_from(STREAM_OVERHEAD * 512).unwrap_or(0), 0);
    out
}

/// What ends a stream: grain directory, footer, end of stream. `at` is the sector it begins at.
pub(super) fn stream_back(sectors: u64, directory: &[u32], at: u64) -> Vec<u8> {
    let gd_sectors = (directory.len() as u64 * 4).div_ceil(512);
    let mut out = marker(gd_sectors, 2);
    let end = out.len() + usize::try_from(gd_sectors * 512).unwrap_or(0);
    out.extend(directory.iter().flat_map(|entry| entry.to_le_bytes()));
    out.resize(end, 0);
    out.extend(marker(1, 3));
    out.extend(header(3, STREAM_FLAGS, sectors, (0, at + 1, STREAM_OVERHEAD), 1));
    out.extend(marker(0, 0));
    out
}

/// A metadata marker: what follows it, in sectors, and of which kind (1 table, 2 directory,
/// 3 footer, 0 end of stream).
pub(super) fn marker(sectors: u64, kind: u32) -> Vec<u8> {
    let mut out = sectors.to_le_bytes().to_vec();
    out.extend_from_slice(&0_u32.to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.resize(512, 0);
    out
}
