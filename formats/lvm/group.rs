//! A volume group as its text tells it.

use std::collections::BTreeMap;

use super::{
    MAX_TEXT_BYTES,
    text::{Section, Value, parse},
};

/// Bytes of a sector in the text's numbers.
const SECTOR: u64 = 512;
/// Most physical volumes, logical volumes and segments of one group that are believed.
const MOST: usize = 65_536;
/// Most bytes of a logical volume that are believed.
const MOST_BYTES: u64 = 1 << 60;

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// Its identity, without dashes.
    pub uuid: String,
    /// Counts the changes of its text.
    pub sequence: u64,
    /// Bytes of an extent.
    pub extent_bytes: u64,
    /// Its disks.
    pub physical: Vec<PhysicalVolume>,
    /// Its volumes, hidden ones with them.
    pub logical: Vec<LogicalVolume>,
}

/// A physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalVolume {
    /// Name within the text.
    pub name: String,
    /// Its identity, without dashes.
    pub uuid: String,
    /// Device that it was last seen as.
    pub device: String,
    /// Bytes of it, where the text tells.
    pub device_bytes: Option<u64>,
    /// First byte of its first extent.
    pub start: u64,
    /// Extents.
    pub extents: u64,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalVolume {
    /// Its name.
    pub name: String,
    /// Whether users see it: parts of mirrors and pools are hidden.
    pub is_visible: bool,
    /// Its parts in order, without gap or overlap.
    pub segments: Vec<Segment>,
}

/// A part of a logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First extent in the volume.
    pub first: u64,
    /// Extents.
    pub extents: u64,
    /// How its bytes are laid out.
    pub kind: SegmentKind,
}

/// How a segment is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// In stripes over one or more physical volumes.
    Striped {
        /// Bytes of one stripe; of one volume alone it says nothing.
        stripe_bytes: u64,
        /// One for each physical volume.
        stripes: Vec<Stripe>,
    },
    /// Otherwise: a mirror, RAID, thin, cached; its name in the text.
    Other(String),
}

/// Where one of the stripes begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripe {
    /// Which of the group's physical volumes.
    pub physical: usize,
    /// Its first extent there.
    pub extent: u64,
}

impl VolumeGroup {
    /// Reads the text of a group, from an area or a backup file. `None` where anything of it makes
    /// no sense: half a layout is worse than none.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let longest = usize::try_from(MAX_TEXT_BYTES).ok()?;
        let all = parse(text.get(..text.len().min(longest))?)?;
        let is_group = all.text("contents") == Some("Text Format Volume Group")
            && all.number("version") == Some(1);
        let mut groups = all.sections();
        let (name, group) = groups.next().filter(|_| is_group)?;
        if groups.next().is_some() || !is_name(name) {
            return None;
        }
        let extent_bytes = group.number("extent_size")?.checked_mul(SECTOR)?;
        if extent_bytes == 0 {
            return None;
        }
        let mut physical = Vec::new();
        let mut numbers = BTreeMap::new();
        for (name, section) in group.section("physical_volumes")?.sections().take(MOST) {
            numbers.insert(name, physical.len());
            physical.push(physical_volume(name, section, extent_bytes)?);
        }
        let logical = match group.section("logical_volumes") {
            Some(volumes) => {
                let each = volumes.sections().take(MOST);
                each.map(|(name, section)| {
                    logical_volume(name, section, extent_bytes, &physical, &numbers)
                })
                .collect::<Option<Vec<_>>>()?
            }
            None => Vec::new(),
        };
        Some(Self {
            name: name.to_owned(),
            uuid: uuid(group.text("id")?)?,
            sequence: group.number("seqno")?,
            extent_bytes,
            physical,
            logical,
        })
    }
}

impl LogicalVolume {
    /// Its extents.
    #[must_use]
    pub fn extents(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.first.saturating_add(last.extents))
    }

    /// What keeps it from being read, if anything: a kind of segment that is only named.
    #[must_use]
    pub fn unread(&self) -> Option<&str> {
        self.segments.iter().find_map(|segment| match &segment.kind {
            SegmentKind::Other(name) => Some(name.as_str()),
            SegmentKind::Striped { .. } => None,
        })
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 127 && name != "." && name != ".." && !name.contains('/')
}

/// An identity without its dashes.
fn uuid(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|one| *one != '-').collect();
    (plain.len() == 32 && plain.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(plain)
}

fn physical_volume(name: &str, section: &Section, extent_bytes: u64) -> Option<PhysicalVolume> {
    let start = section.number("pe_start")?.checked_mul(SECTOR)?;
    let extents = section.number("pe_count")?;
    start.checked_add(extents.checked_mul(extent_bytes)?).filter(|end| *end <= MOST_BYTES)?;
    Some(PhysicalVolume {
        name: name.to_owned(),
        uuid: uuid(section.text("id")?)?,
        device: section.text("device").unwrap_or_default().to_owned(),
        device_bytes: match section.number("dev_size") {
            Some(sectors) => Some(sectors.checked_mul(SECTOR)?),
            None => None,
        },
        start,
        extents,
    })
}

fn logical_volume(
    name: &str,
    section: &Section,
    extent_bytes: u64,
    physical: &[PhysicalVolume],
    numbers: &BTreeMap<&str, usize>,
) -> Option<LogicalVolume> {
    let count = usize::try_from(section.number("segment_count")?).ok()?;
    if !is_name(name) || count > MOST {
        return None;
    }
    let mut segments = Vec::new();
    for (_, part) in section.sections().filter(|(name, _)| name.starts_with("segment")).take(MOST) {
        segments.push(segment(part, physical, numbers)?);
    }
    segments.sort_by_key(|segment| segment.first);
    let mut next = 0_u64;
    for segment in &segments {
        if segment.first != next || segment.extents == 0 {
            return None;
        }
        next = next.checked_add(segment.extents)?;
    }
    next.checked_mul(extent_bytes).filter(|bytes| *bytes <= MOST_BYTES)?;
    let is_visible = section
        .list("status")
        .is_some_and(|status| status.iter().any(|word| *word == Value::Text("VISIBLE".to_owned())));
    (segments.len() == count).then(|| LogicalVolume { name: name.to_owned(), is_visible, segments })
}

fn segment(
    section: &Section,
    physical: &[PhysicalVolume],
    numbers: &BTreeMap<&str, usize>,
) -> Option<Segment> {
    let (first, extents) = (section.number("start_extent")?, section.number("extent_count")?);
    let kind = section.text("type")?;
    if kind != "striped" {
        return Some(Segment { first, extents, kind: SegmentKind::Other(kind.to_owned()) });
    }
    let (pairs, rest) = section.list("stripes")?.as_chunks::<2>();
    let count = u64::try_from(pairs.len()).ok()?;
    if count == 0 || !rest.is_empty() || section.number("stripe_count")? != count {
        return None;
    }
    // Each stripe takes its share of the extents, on its own physical volume.
    let each = extents.checked_div(count).filter(|_| extents.is_multiple_of(count))?;
    let mut stripes = Vec::new();
    for [place, extent] in pairs {
        let (Value::Text(place), Value::Number(extent)) = (place, extent) else { return None };
        let extent = u64::try_from(*extent).ok()?;
        let number = numbers.get(place.as_str());
        // A stripe that lies in another logical volume: a stack that is not read.
        let Some(number) = number else {
            let kind = SegmentKind::Other("striped over other volumes".to_owned());
            return Some(Segment { first, extents, kind });
        };
        if extent.checked_add(each)? > physical.get(*number)?.extents {
            return None;
        }
        stripes.push(Stripe { physical: *number, extent });
    }
    let stripe_bytes = if count > 1 {
        let bytes = section.number("stripe_size")?.checked_mul(SECTOR)?;
        (bytes > 0 && bytes <= MOST_BYTES).then_some(bytes)?
    } else {
        0
    };
    Some(Segment { first, extents, kind: SegmentKind::Striped { stripe_bytes, stripes } })
}
