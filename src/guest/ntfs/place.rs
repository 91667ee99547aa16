//! Which records belong to a volume: those that lie where its table of files has their number.

use std::{collections::HashMap, ops::Range};

use vmglean_formats::ntfs::{AttributeBody, DataRun, FileRecord, attribute_list, kinds};

use crate::guest::{
    Ground,
    scan::{Hits, RecordHit},
    volumes::{NtfsGeometry, Volume, read_record, record_at},
};

/// Records that must lie in a row, each at its number's place, where no run list confirms them.
/// Blocks of shadow copies hold old records in rows of 16.
const FEWEST_IN_ROW: usize = 17;
/// Parts of one table of files that are followed.
const MOST_PIECES: usize = 1 << 20;

/// Consecutive records that lie consecutively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MftPiece {
    pub(super) first: u64,
    pub(super) records: u64,
    pub(super) at: u64,
}

impl MftPiece {
    fn end(&self) -> u64 {
        self.first.saturating_add(self.records)
    }
}

/// A record of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u32,
    /// Index into the scan's records.
    pub(super) hit: u32,
    /// Whether nothing but a short row of records speaks for its place.
    pub(super) is_doubtful: bool,
}

/// The volume's records in the order of their numbers, one each.
#[derive(Clone, Debug, Default)]
pub(super) struct Placed {
    pub(super) entries: Vec<Entry>,
    pub(super) pieces: Vec<MftPiece>,
    /// Whether the table's run list is known from end to end.
    pub(super) is_whole: bool,
    /// Further records by the number of the first, as indices into the scan's records.
    pub(super) further: HashMap<u32, Vec<u32>>,
    /// What this rests on.
    pub(super) rests_on: String,
}

impl Placed {
    /// Every record of the file whose first record is `hit`: that one, then those that say to
    /// belong to it.
    pub(super) fn records_of<'a>(
        &'a self,
        hits: &'a Hits,
        hit: &'a RecordHit,
    ) -> impl Iterator<Item = &'a RecordHit> {
        let further = self.further.get(&hit.number).map(Vec::as_slice).unwrap_or_default();
        let further = further.iter().filter_map(|index| hits.records.get(*index as usize));
        std::iter::once(hit).chain(further.filter(|part| part.is_in_use == hit.is_in_use))
    }

    pub(super) fn find(&self, number: u64) -> Option<&Entry> {
        let number = u32::try_from(number).ok()?;
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries.get(at)
    }

    /// Where record `number` must lie.
    pub(super) fn place_of(&self, number: u64, record_bytes: u64) -> Option<u64> {
        let after = self.pieces.partition_point(|piece| piece.first <= number);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        let within = number.checked_sub(piece.first).filter(|_| number < piece.end())?;
        piece.at.checked_add(within.checked_mul(record_bytes)?)
    }
}

pub(super) fn place(
    ground: &Ground<'_>,
    hits: &Hits,
    volume: &Volume,
    geometry: NtfsGeometry,
) -> Placed {
    let record_bytes = u64::from(geometry.record_bytes);
    let mut placed = Placed::default();
    let known = table_pieces(ground, hits, volume, geometry);
    if let Some((pieces, is_whole, why)) = known {
        (placed.pieces, placed.is_whole, placed.rests_on) = (pieces, is_whole, why);
    }
    for piece in &placed.pieces {
        take_piece(hits, *piece, record_bytes, false, &mut placed.entries);
    }
    placed.entries.sort_by_key(|entry| entry.number);
    placed.entries.dedup_by_key(|entry| entry.number);
    if !placed.is_whole {
        let rows = rows(hits, volume.start..volume.end(ground.size()), record_bytes);
        let count = rows.len();
        add_rows(hits, rows, record_bytes, &mut placed);
        if placed.rests_on.is_empty() {
            placed.rests_on = format!("{count} rows of records, each at its own number's place");
        }
    }
    add_mirror(hits, volume, geometry, &mut placed);
    for entry in placed.entries.iter().filter(|entry| !entry.is_doubtful) {
        if let Some(base) = hits.records.get(entry.hit as usize).and_then(|hit| hit.base) {
            placed.further.entry(base).or_default().push(entry.hit);
        }
    }
    placed
}

/// Takes the records of one piece that lie at their number's place.
fn take_piece(
    hits: &Hits,
    piece: MftPiece,
    record_bytes: u64,
    is_doubtful: bool,
    entries: &mut Vec<Entry>,
) {
    let end = piece.at.saturating_add(piece.records.saturating_mul(record_bytes));
    let first = hits.records.partition_point(|hit| hit.at < piece.at);
    for (index, hit) in hits.records.iter().enumerate().skip(first) {
        if hit.at >= end {
            break;
        }
        let offset = hit.at - piece.at;
        let number = piece.first.saturating_add(offset / record_bytes);
        if offset.is_multiple_of(record_bytes)
            && hit.bytes() == record_bytes
            && number == u64::from(hit.number)
            && let Ok(index) = u32::try_from(index)
        {
            entries.push(Entry { number: hit.number, hit: index, is_doubtful });
        }
    }
}

/// The table's own run list: from record 0 at its place, else from the mirror's, else from any
/// record 0 that leads to itself.
fn table_pieces(
    ground: &Ground<'_>,
    hits: &Hits,
    volume: &Volume,
    geometry: NtfsGeometry,
) -> Option<(Vec<MftPiece>, bool, String)> {
    let cluster = u64::from(geometry.cluster_bytes);
    let at_lcn = |lcn: Option<u64>| {
        record_at(hits, volume.start.checked_add(lcn?.checked_mul(cluster)?)?)
            .filter(|hit| hit.number == 0)
    };
    if let Some(hit) = at_lcn(geometry.mft_lcn) {
        let (pieces, whole) = pieces_by(ground, hits, volume, geometry, hit)?;
        return Some((pieces, whole, "run list of record 0".to_owned()));
    }
    if let Some(hit) = at_lcn(geometry.mirror_lcn) {
        let (pieces, whole) = pieces_by(ground, hits, volume, geometry, hit)?;
        return Some((pieces, whole, "run list of record 0 in $MFTMirr".to_owned()));
    }
    let inside = volume.start..volume.end(ground.size());
    let zeros = hits.records.iter().filter(|hit| hit.number == 0 && inside.contains(&hit.at));
    zeros
        .take(64)
        .filter_map(|hit| {
            let (pieces, whole) = pieces_by(ground, hits, volume, geometry, hit)?;
            let right = pieces.iter().take(1000).filter(|piece| {
                record_at(hits, piece.at).is_some_and(|hit| u64::from(hit.number) == piece.first)
            });
            let right = right.count();
            (right > 0).then_some((right, pieces, whole))
        })
        .max_by_key(|(right, ..)| *right)
        .map(|(_, pieces, whole)| {
            (pieces, whole, "run list of a record 0 found by scan".to_owned())
        })
}

fn pieces_by(
    ground: &Ground<'_>,
    hits: &Hits,
    volume: &Volume,
    geometry: NtfsGeometry,
    hit: &RecordHit,
) -> Option<(Vec<MftPiece>, bool)> {
    let record = read_record(ground, hit)?;
    if !hit.is_good || !hit.is_whole || !record.head.is_in_use {
        return None;
    }
    let mut runs = Vec::new();
    let mut clusters = 0;
    let cluster = u64::from(geometry.cluster_bytes);
    collect_runs(&record, cluster, &mut runs, &mut clusters);
    let mut pieces = to_pieces(&runs, volume, geometry);
    if pieces.is_empty() {
        return None;
    }
    // A table in very many parts tells of the later ones in further records of its own.
    let list = record.of_kind(kinds::ATTRIBUTE_LIST).next();
    if let Some(list) = list.and_then(|list| content_of(ground, volume, geometry, &record, list)) {
        let (entries, _) = attribute_list(&list);
        let mut numbers: Vec<u64> = entries
            .iter()
            .filter(|entry| entry.kind == kinds::DATA && entry.record.number != 0)
            .map(|entry| entry.record.number)
            .collect();
        numbers.dedup();
        for number in numbers.into_iter().take(MOST_PIECES) {
            let view = Placed { pieces: pieces.clone(), ..Placed::default() };
            let at = view.place_of(number, u64::from(geometry.record_bytes));
            let more = at
                .and_then(|at| record_at(hits, at))
                .filter(|hit| hit.base == Some(0) && hit.is_good && hit.is_whole)
                .and_then(|hit| read_record(ground, hit));
            if let Some(more) = more {
                collect_runs(&more, cluster, &mut runs, &mut clusters);
                runs.sort_by_key(|run| run.vcn);
                pieces = to_pieces(&runs, volume, geometry);
            }
        }
    }
    let covered: u64 = runs.iter().map(|run| run.clusters).sum();
    Some((pieces, clusters > 0 && covered == clusters))
}

fn collect_runs(record: &FileRecord, cluster: u64, runs: &mut Vec<DataRun>, clusters: &mut u64) {
    for attribute in record.of_kind(kinds::DATA).filter(|attribute| attribute.name.is_empty()) {
        if let AttributeBody::NonResident { runs: more, allocated, first_vcn, .. } = &attribute.body
        {
            runs.extend(more.iter().copied());
            if *first_vcn == 0 {
                *clusters = allocated.checked_div(cluster).unwrap_or(0);
            }
        }
    }
}

fn to_pieces(runs: &[DataRun], volume: &Volume, geometry: NtfsGeometry) -> Vec<MftPiece> {
    let (cluster, record) = (u64::from(geometry.cluster_bytes), u64::from(geometry.record_bytes));
    let piece = |run: &DataRun| {
        let from = run.vcn.checked_mul(cluster)?;
        let at = volume.start.checked_add(run.lcn?.checked_mul(cluster)?)?;
        let first = from.div_ceil(record);
        let skip = first.checked_mul(record)?.checked_sub(from)?;
        let bytes = run.clusters.checked_mul(cluster)?.checked_sub(skip)?;
        Some(MftPiece { first, records: bytes / record, at: at.checked_add(skip)? })
    };
    let mut pieces: Vec<MftPiece> = runs.iter().take(MOST_PIECES).filter_map(piece).collect();
    pieces.sort_by_key(|piece| piece.first);
    pieces
}

/// Content of an attribute list: resident, or in clusters that are all good.
pub(super) fn content_of(
    ground: &Ground<'_>,
    volume: &Volume,
    geometry: NtfsGeometry,
    record: &FileRecord,
    attribute: &vmglean_formats::ntfs::Attribute,
) -> Option<Vec<u8>> {
    const LONGEST: u64 = 4 << 20;
    if let Some(value) = record.value(attribute) {
        return Some(value.to_vec());
    }
    let AttributeBody::NonResident { runs, size, .. } = &attribute.body else { return None };
    if *size > LONGEST {
        return None;
    }
    let cluster = u64::from(geometry.cluster_bytes);
    let mut content = Vec::new();
    for run in runs {
        let at = volume.start.checked_add(run.lcn?.checked_mul(cluster)?)?;
        let left = size.saturating_sub(content.len() as u64);
        let length = run.clusters.checked_mul(cluster)?.min(left);
        if !ground.is_good(at..at.checked_add(length)?) {
            return None;
        }
        content.extend(ground.read(at, usize::try_from(length).ok()?).ok()?);
    }
    (content.len() as u64 == *size).then_some(content)
}

/// Records that lie in rows: position minus number times length is the same for all of a row.
fn rows(hits: &Hits, range: Range<u64>, record_bytes: u64) -> Vec<(MftPiece, usize)> {
    let mut rows: Vec<(MftPiece, usize, i128)> = Vec::new();
    let first = hits.records.partition_point(|hit| hit.at < range.start);
    for hit in hits.records.iter().skip(first).take_while(|hit| hit.at < range.end) {
        if hit.bytes() != record_bytes {
            continue;
        }
        let origin = i128::from(hit.at) - i128::from(hit.number) * i128::from(record_bytes);
        match rows.last_mut() {
            Some((piece, count, of)) if *of == origin => {
                piece.records = u64::from(hit.number) + 1 - piece.first;
                *count += 1;
            }
            _ => {
                let first = u64::from(hit.number);
                rows.push((MftPiece { first, records: 1, at: hit.at }, 1, origin));
            }
        }
    }
    // An encrypted stretch or another structure can cut a row; both parts have one origin.
    rows.sort_by_key(|(piece, _, origin)| (*origin, piece.first));
    let mut merged: Vec<(MftPiece, usize, i128)> = Vec::new();
    for (piece, count, origin) in rows {
        match merged.last_mut() {
            Some((last, all, of)) if *of == origin => {
                last.records = piece.end() - last.first;
                *all += count;
            }
            _ => merged.push((piece, count, origin)),
        }
    }
    merged.into_iter().map(|(piece, count, _)| (piece, count)).collect()
}

/// Adds rows, longest first; where two claim one number, the shorter one is doubtful.
fn add_rows(hits: &Hits, mut rows: Vec<(MftPiece, usize)>, record_bytes: u64, placed: &mut Placed) {
    rows.sort_by_key(|(piece, count)| (std::cmp::Reverse(*count), piece.first, piece.at));
    // What the run list placed comes first.
    let mut all: Vec<(u32, usize, Entry)> =
        placed.entries.iter().map(|entry| (entry.number, 0, *entry)).collect();
    let mut own = Vec::new();
    for (rank, (piece, count)) in (1..).zip(&rows) {
        take_piece(hits, *piece, record_bytes, *count < FEWEST_IN_ROW, &mut own);
        all.extend(own.drain(..).map(|entry| (entry.number, rank, entry)));
    }
    all.sort_unstable_by_key(|(number, rank, entry)| (*number, *rank, entry.hit));
    let mut contested = vec![false; rows.len() + 1];
    for pair in all.windows(2) {
        let [(one, _, first), (other, rank, second)] = pair else { continue };
        // A row also holds what the run list has placed already.
        if one == other
            && first.hit != second.hit
            && let Some(contested) = contested.get_mut(*rank)
        {
            *contested = true;
        }
    }
    all.dedup_by_key(|(number, ..)| *number);
    let is_contested = |rank: usize| contested.get(rank).copied().unwrap_or(false);
    placed.entries = all
        .into_iter()
        .map(|(_, rank, mut entry)| {
            entry.is_doubtful |= rank > 0 && is_contested(rank);
            entry
        })
        .collect();
    for (rank, (piece, count)) in (1..).zip(rows) {
        if count >= FEWEST_IN_ROW && !is_contested(rank) {
            placed.pieces.push(piece);
        }
    }
    placed.pieces.sort_by_key(|piece| piece.first);
}

/// The mirror's copies of the first records, where the table's own are gone.
fn add_mirror(hits: &Hits, volume: &Volume, geometry: NtfsGeometry, placed: &mut Placed) {
    let record_bytes = u64::from(geometry.record_bytes);
    let at = geometry
        .mirror_lcn
        .and_then(|lcn| lcn.checked_mul(u64::from(geometry.cluster_bytes)))
        .and_then(|offset| volume.start.checked_add(offset));
    let Some(at) = at else { return };
    let mut own = Vec::new();
    take_piece(hits, MftPiece { first: 0, records: 4, at }, record_bytes, false, &mut own);
    own.retain(|entry| placed.find(u64::from(entry.number)).is_none());
    placed.entries.extend(own);
    placed.entries.sort_by_key(|entry| entry.number);
}
