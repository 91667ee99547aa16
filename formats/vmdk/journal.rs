//! The journal of an seSparse extent: whole sectors of tables, backmap and bitmap, as they were
//! to be written.
//!
//! Measured on one file of an ESXi host; not documented anywhere. The checksum's rule is not
//! known, so it is shown and not checked.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{defects::DefectSink, sesparse::ConstHeader};
use crate::{
    defect::{Defect, DefectKind},
    field::{FieldNote, Fields},
    read::ReadAt,
    units::{ByteOffset, Bytes, SECTOR_BYTES},
};

const HEADER: &str = "SESparseJournalHeader";
const RECORD: &str = "SESparseJournalRecord";
const HEADER_MAGIC: u64 = 0xdeaf_c0de;
const RECORD_MAGIC: u64 = 0x00c0_ffee;
/// Bytes of journal that are read; 1 MiB in every file seen.
const JOURNAL_LIMIT: u64 = 4 << 20;

/// The journal's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct JournalHeader {
    /// Number the next transaction gets.
    pub next_sequence: u64,
    #[serde(rename = "offset_bytes")]
    at: ByteOffset,
}

/// One transaction: sectors with their new content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalRecord {
    /// Where it lies.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Its place in the ring.
    pub slot: u64,
    /// Sectors it takes, its own head included.
    pub sectors: u64,
    /// Checksum by a rule that is not known.
    pub checksum: u64,
    /// Its transaction's number.
    pub sequence: u64,
    /// The host's clock, unit unknown.
    pub clock: u64,
    /// Absolute sectors it rewrites, in the order of their images.
    pub targets: Vec<u64>,
}

/// The journal and what it says of each sector.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Its header, where it is whole.
    pub header: Option<JournalHeader>,
    /// Its records, by transaction number.
    pub records: Vec<JournalRecord>,
    /// The newest image of each sector.
    images: BTreeMap<u64, Vec<u8>>,
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

impl Journal {
    /// Reads the journal of an extent.
    pub(crate) fn read(file: &dyn ReadAt, header: &ConstHeader, sink: &mut DefectSink) -> Self {
        let mut journal = Self::default();
        journal.read_header(file, header, sink);
        let Some(at) = header.journal.offset.to_offset() else { return journal };
        let size = header.journal.size.0.saturating_mul(SECTOR_BYTES);
        if size > JOURNAL_LIMIT {
            let kind = DefectKind::Limit { value: size, limit: JOURNAL_LIMIT };
            sink.add(Defect::new("SESparseConstHeader", "journalSize", ByteOffset(120), kind));
        }
        let length = usize::try_from(size.min(JOURNAL_LIMIT)).unwrap_or(0);
        let bytes = match file.read_up_to(at, length) {
            Ok(bytes) => bytes,
            Err(error) => {
                let why = error.to_string();
                let kind = DefectKind::Unreadable { length: Bytes(size), why };
                sink.add(Defect::new(RECORD, "journal", at, kind));
                return journal;
            }
        };
        let mut rest = bytes.as_slice();
        let mut place = at.0;
        while let Some(sector) = rest.get(..512) {
            let mut step = 1u64;
            if number(sector, 0) == Some(RECORD_MAGIC) {
                match parse_record(rest, ByteOffset(place), header) {
                    Ok(record) => {
                        step = record.sectors.max(1);
                        journal.records.push(record);
                    }
                    Err(defect) => sink.add(defect),
                }
            }
            let skip = usize::try_from(step.saturating_mul(SECTOR_BYTES)).unwrap_or(usize::MAX);
            rest = rest.get(skip..).unwrap_or_default();
            place = place.saturating_add(step.saturating_mul(SECTOR_BYTES));
        }
        journal.records.sort_by_key(|record| record.sequence);
        for record in &journal.records {
            let first = record.at.0.saturating_sub(at.0).saturating_add(SECTOR_BYTES);
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            let images = bytes.get(first..).unwrap_or_default().as_chunks::<512>().0;
            for (target, image) in record.targets.iter().zip(images) {
                journal.images.insert(*target, image.to_vec());
            }
        }
        journal
    }

    fn read_header(&mut self, file: &dyn ReadAt, header: &ConstHeader, sink: &mut DefectSink) {
        let Some(at) = header.journal_header.offset.to_offset() else { return };
        let bytes = file.read_up_to(at, 512).unwrap_or_default();
        let (Some(magic), Some(next_sequence)) = (number(&bytes, 0), number(&bytes, 8)) else {
            let have = u64::try_from(bytes.len()).unwrap_or(0);
            let kind = DefectKind::Truncated { need: SECTOR_BYTES, have };
            return sink.add(Defect::new(HEADER, "header", at, kind));
        };
        if magic != HEADER_MAGIC {
            let kind = DefectKind::Magic { expected: HEADER_MAGIC, found: magic };
            return sink.add(Defect::new(HEADER, "magic", at, kind));
        }
        self.header = Some(JournalHeader { next_sequence, at });
    }

    /// The newest image of this sector.
    #[must_use]
    pub fn image(&self, sector: u64) -> Option<&[u8]> {
        self.images.get(&sector).map(Vec::as_slice)
    }

    /// Sectors that have an image.
    #[must_use]
    pub fn image_count(&self) -> usize {
        self.images.len()
    }

    /// The newest images of the sectors in this range.
    pub(crate) fn images_in(
        &self,
        sectors: std::ops::Range<u64>,
    ) -> impl Iterator<Item = (u64, &[u8])> {
        let sectors = if sectors.start <= sectors.end { sectors } else { 0..0 };
        self.images.range(sectors).map(|(sector, image)| (*sector, image.as_slice()))
    }
}

fn parse_record(
    bytes: &[u8],
    at: ByteOffset,
    header: &ConstHeader,
) -> Result<JournalRecord, Defect> {
    let field = |offset: usize| number(bytes, offset).unwrap_or(0);
    let wrong = |name, offset: u64, kind| {
        Defect::new(RECORD, name, ByteOffset(at.0.saturating_add(offset)), kind)
    };
    let sectors = field(24);
    let have = u64::try_from(bytes.len() / 512).unwrap_or(0);
    if sectors == 0 || sectors > have {
        let kind = DefectKind::OutOfRange { value: sectors, min: 1, max: have };
        return Err(wrong("length", 24, kind));
    }
    let metadata = header.gd.offset.0..header.grains.offset.0;
    let mut targets = Vec::new();
    for nth in 0..24u64 {
        let offset = nth.saturating_mul(16).saturating_add(128);
        let place = usize::try_from(offset).unwrap_or(0);
        let (sector, count) = (field(place), field(place.saturating_add(8)));
        if count == 0 {
            break;
        }
        let left =
            sectors.saturating_sub(1).saturating_sub(u64::try_from(targets.len()).unwrap_or(0));
        if count > left {
            let kind = DefectKind::OutOfRange { value: count, min: 1, max: left };
            return Err(wrong("count", offset.saturating_add(8), kind));
        }
        let last = sector.saturating_add(count.saturating_sub(1));
        if !metadata.contains(&sector) || !metadata.contains(&last) {
            let max = metadata.end.saturating_sub(1);
            let kind = DefectKind::OutOfRange { value: sector, min: metadata.start, max };
            return Err(wrong("sector", offset, kind));
        }
        targets.extend(sector..=last);
    }
    let named = u64::try_from(targets.len()).unwrap_or(0);
    if named != sectors.saturating_sub(1) {
        let expected = format!("{} sectors in its list", sectors.saturating_sub(1));
        let kind = DefectKind::Mismatch { expected, found: named.to_string() };
        return Err(wrong("list", 128, kind));
    }
    Ok(JournalRecord {
        at,
        slot: field(16),
        sectors,
        checksum: field(32),
        sequence: field(40),
        clock: field(56),
        targets,
    })
}

impl Fields for Journal {
    fn fields(&self) -> Vec<FieldNote> {
        let mut all = Vec::new();
        if let Some(header) = &self.header {
            let place = |offset: u64| ByteOffset(header.at.0.saturating_add(offset));
            let magic = format!("{HEADER_MAGIC:#x}");
            all.push(FieldNote::new(HEADER, "magic", place(0), Bytes(8), magic));
            let next = header.next_sequence.to_string();
            all.push(FieldNote::new(HEADER, "nextTxnSeqNumber", place(8), Bytes(8), next));
        }
        for record in self.records.iter().take(256) {
            let value = format!("transaction {}, slot {}", record.sequence, record.slot);
            let length = Bytes(record.sectors.saturating_mul(SECTOR_BYTES));
            let targets = format!("rewrites sectors {:?}", record.targets);
            all.push(FieldNote::new(RECORD, "record", record.at, length, value).noted(targets));
        }
        all
    }
}
