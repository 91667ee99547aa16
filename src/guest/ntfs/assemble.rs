//! Streams put together from the parts in all records of a file.

use vmglean_formats::ntfs::{Attribute, AttributeBody, DataRun, FileRecord, kinds};

use crate::guest::Stream;

/// No cluster of a unit lies further behind another than this many; Windows makes 16.
const MOST_UNIT_CLUSTERS: u32 = 64;

/// Where a stream's volume lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) start: u64,
    pub(super) bytes: Option<u64>,
    pub(super) cluster: u64,
}

impl Stream {
    /// Puts the parts of one stream together: attributes of `kind` and `name` in all `records`.
    pub(super) fn assemble(
        records: &[FileRecord],
        kind: u32,
        name: &[u8],
        frame: Frame,
    ) -> Option<Self> {
        let mut parts: Vec<(&FileRecord, &Attribute)> = records
            .iter()
            .flat_map(|record| record.of_kind(kind).map(move |attribute| (record, attribute)))
            .filter(|(_, attribute)| attribute.name == name)
            .collect();
        parts.sort_by_key(|(_, attribute)| match &attribute.body {
            AttributeBody::Resident { .. } => 0,
            AttributeBody::NonResident { first_vcn, .. } => *first_vcn,
        });
        let (record, first) = *parts.first()?;
        let mut stream = Self {
            name: name.to_vec(),
            flags: first.flags,
            cluster_bytes: frame.cluster,
            volume_start: frame.start,
            volume_bytes: frame.bytes,
            ..Self::default()
        };
        if let Some(value) = record.value(first) {
            stream.size = value.len() as u64;
            stream.valid = stream.size;
            stream.resident = Some(value.to_vec());
            if parts.len() > 1 {
                stream.defects.push("a resident stream has a second part".to_owned());
            }
            return Some(stream);
        }
        let mut next = 0;
        for (_, part) in &parts {
            let AttributeBody::NonResident { first_vcn, end_vcn, runs, .. } = &part.body else {
                stream.defects.push("a part in clusters follows one in a record".to_owned());
                break;
            };
            if *first_vcn != next {
                stream
                    .defects
                    .push(format!("clusters {next} to {first_vcn} are described nowhere"));
            }
            stream.runs.extend(runs.iter().copied());
            let covered = runs.last().map_or(*first_vcn, DataRun::end);
            if covered != *end_vcn {
                stream.defects.push("a run list does not cover what it says".to_owned());
            }
            next = *end_vcn;
        }
        if let AttributeBody::NonResident { size, valid, unit_clusters, first_vcn, .. } =
            &first.body
        {
            stream.size = *size;
            stream.valid = (*valid).min(*size);
            if *first_vcn != 0 {
                stream.defects.push("its first part is lost, and its size with it".to_owned());
            }
            if first.is_compressed() && *unit_clusters > 0 {
                if *unit_clusters > MOST_UNIT_CLUSTERS {
                    stream.defects.push(format!("compression units of {unit_clusters} clusters"));
                } else {
                    stream.unit_bytes = u64::from(*unit_clusters) * frame.cluster;
                }
            }
        }
        if next.saturating_mul(frame.cluster) < stream.size {
            stream.defects.push("its clusters end before its content does".to_owned());
        }
        stream.check_places();
        Some(stream)
    }

    /// Names of all streams of `records`, the unnamed one first.
    pub(super) fn names(records: &[FileRecord]) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = records
            .iter()
            .flat_map(|record| record.of_kind(kinds::DATA))
            .map(|attribute| attribute.name.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}
