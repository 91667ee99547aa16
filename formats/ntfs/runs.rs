//! Run lists: which clusters of the volume hold which clusters of an attribute.

use serde::Serialize;

use crate::{ByteOffset, Checked, Defect, DefectKind};

/// Consecutive clusters of an attribute that lie consecutively on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DataRun {
    /// First cluster of the attribute.
    pub vcn: u64,
    /// How many clusters.
    pub clusters: u64,
    /// First cluster of the volume; `None`: a hole, reads as zero.
    pub lcn: Option<u64>,
}

impl DataRun {
    /// The cluster of the attribute after the last.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.vcn.saturating_add(self.clusters)
    }

    /// Takes in `next` where it goes on from here, on the volume as in the attribute; says whether.
    pub fn join(&mut self, next: Self) -> bool {
        let follows = self.end() == next.vcn
            && match (self.lcn, next.lcn) {
                (Some(lcn), Some(next)) => lcn.checked_add(self.clusters) == Some(next),
                (None, None) => true,
                _ => false,
            };
        if follows {
            self.clusters = self.clusters.saturating_add(next.clusters);
        }
        follows
    }
}

/// No volume has more clusters than this.
const MAX_CLUSTERS: u64 = 1 << 48;

fn number(bytes: &[u8], signed: bool) -> i64 {
    let negative = signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut whole = if negative { [0xFF; 8] } else { [0; 8] };
    for (to, from) in whole.iter_mut().zip(bytes) {
        *to = *from;
    }
    i64::from_le_bytes(whole)
}

/// Decodes the run list that covers the attribute's clusters from `first_vcn` on. The list ends
/// where it must: what follows a broken run is not believed.
#[must_use]
pub fn decode_runs(bytes: &[u8], first_vcn: u64, at: ByteOffset) -> Checked<Vec<DataRun>> {
    let mut runs = Vec::new();
    let mut rest = bytes;
    let mut vcn = first_vcn;
    let mut lcn: i64 = 0;
    let defect = |rest: &[u8], kind| {
        let done = u64::try_from(bytes.len().saturating_sub(rest.len())).unwrap_or(0);
        Defect::new("MAPPING_PAIRS", "run", at.checked_add(done).unwrap_or(at), kind)
    };
    loop {
        let Some((head, tail)) = rest.split_first() else {
            let missing = DefectKind::Missing { what: "the end mark".to_owned() };
            return Checked { value: runs, defects: vec![defect(rest, missing)] };
        };
        if *head == 0 {
            return Checked::clean(runs);
        }
        let (length_bytes, offset_bytes) = (usize::from(head & 15), usize::from(head >> 4));
        let fields = tail
            .split_at_checked(length_bytes)
            .and_then(|(length, tail)| Some((length, tail.split_at_checked(offset_bytes)?)));
        let Some((length, (offset, next))) =
            fields.filter(|_| (1..=8).contains(&length_bytes) && offset_bytes <= 8)
        else {
            let value = u64::from(*head);
            return Checked {
                value: runs,
                defects: vec![defect(rest, DefectKind::Unknown { value })],
            };
        };
        let clusters = u64::try_from(number(length, true)).unwrap_or(0);
        let place = if offset_bytes == 0 {
            None
        } else {
            lcn = lcn.saturating_add(number(offset, true));
            Some(u64::try_from(lcn).unwrap_or(u64::MAX))
        };
        let fits = (1..=MAX_CLUSTERS).contains(&clusters)
            && vcn.saturating_add(clusters) <= MAX_CLUSTERS
            && place.is_none_or(|place| place.saturating_add(clusters) <= MAX_CLUSTERS);
        if !fits {
            let kind = DefectKind::OutOfRange { value: clusters, min: 1, max: MAX_CLUSTERS };
            return Checked { value: runs, defects: vec![defect(rest, kind)] };
        }
        runs.push(DataRun { vcn, clusters, lcn: place });
        vcn = vcn.saturating_add(clusters);
        rest = next;
    }
}
