//! Bytes that all victims of one run share, whatever the family.

use serde::{Deserialize, Serialize};

/// Which end of the files was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileEnd {
    /// Offsets count from the first byte.
    Head,
    /// Offsets count back from the end of the file.
    Tail,
}

/// Both ends of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndSample {
    /// The first 256 bytes, fewer where the file is shorter.
    pub head: Vec<u8>,
    /// The last 64 bytes, fewer where the file is shorter.
    pub tail: Vec<u8>,
}

/// Bytes equal at one place in all suspects and in no clean file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignMarker {
    /// Which end.
    pub end: FileEnd,
    /// First byte: from the start for [`FileEnd::Head`], back from the end for [`FileEnd::Tail`].
    pub offset_bytes: u64,
    /// The shared bytes.
    pub bytes: Vec<u8>,
    /// In how many suspects.
    pub suspects: usize,
}

/// Bytes compared at the head and the tail.
const HEAD_BYTES: usize = 256;
const TAIL_BYTES: usize = 64;
/// Shorter runs are equal by chance too often.
const SHORTEST_RUN: usize = 4;

/// Looks for bytes that all `suspects` share at equal offsets and that no `clean` file has there.
///
/// Runs shorter than 4 bytes, and runs of one repeated byte, are chance and left out. Needs two
/// suspects at least. Give only files of different machines and kinds: files of one kind share
/// their format's own header where that was not encrypted, unless a clean one is there to
/// compare.
#[must_use]
pub fn campaign_markers(suspects: &[EndSample], clean: &[EndSample]) -> Vec<CampaignMarker> {
    let mut found = Vec::new();
    for (end, length) in [(FileEnd::Head, HEAD_BYTES), (FileEnd::Tail, TAIL_BYTES)] {
        let Some((first, others)) = suspects.split_first().filter(|(_, others)| !others.is_empty())
        else {
            return found;
        };
        let shared: Vec<Option<u8>> = (0..length)
            .map(|place| {
                let byte = at(first, end, place)?;
                others.iter().all(|other| at(other, end, place) == Some(byte)).then_some(byte)
            })
            .collect();
        let mut place = 0;
        while place < length {
            let run: Vec<u8> = shared.iter().skip(place).map_while(|byte| *byte).collect();
            let from = place;
            place += run.len().max(1);
            let uniform = run.iter().all(|byte| run.first() == Some(byte));
            let in_clean = clean.iter().any(|sample| {
                (0..run.len()).all(|i| at(sample, end, from + i) == run.get(i).copied())
            });
            if run.len() < SHORTEST_RUN || uniform || in_clean {
                continue;
            }
            found.push(marker(end, from, run, suspects.len()));
        }
    }
    found
}

/// Byte number `place`: from the start, or back from the end.
fn at(sample: &EndSample, end: FileEnd, place: usize) -> Option<u8> {
    match end {
        FileEnd::Head => sample.head.get(place).copied(),
        FileEnd::Tail => {
            let index = sample.tail.len().checked_sub(place)?.checked_sub(1)?;
            sample.tail.get(index).copied()
        }
    }
}

fn marker(end: FileEnd, from: usize, mut bytes: Vec<u8>, suspects: usize) -> CampaignMarker {
    let offset = match end {
        FileEnd::Head => from,
        FileEnd::Tail => {
            bytes.reverse();
            from + bytes.len()
        }
    };
    CampaignMarker { end, offset_bytes: offset as u64, bytes, suspects }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seed: u8, tail_marker: &[u8]) -> EndSample {
        let noise = |n: u8| (0..n).map(|i| i.wrapping_mul(seed).wrapping_add(seed)).collect();
        let head: Vec<u8> = noise(200);
        let mut tail: Vec<u8> = noise(30);
        tail.extend_from_slice(tail_marker);
        EndSample { head, tail }
    }

    #[test]
    fn bytes_that_end_every_suspect_are_a_marker_with_its_place() {
        let magic = b"\x91\x02\xfe\x77\x10\x9acampai";
        let suspects = [sample(3, magic), sample(5, magic), sample(7, magic)];
        let found = campaign_markers(&suspects, &[sample(11, b"other ending")]);
        assert_eq!(
            found,
            [CampaignMarker {
                end: FileEnd::Tail,
                offset_bytes: 12,
                bytes: magic.to_vec(),
                suspects: 3
            }]
        );
    }

    #[test]
    fn bytes_that_a_clean_file_has_too_are_no_marker() {
        let magic = b"\x00\x01\x02formats own";
        let suspects = [sample(3, magic), sample(5, magic)];
        assert!(campaign_markers(&suspects, &[sample(11, magic)]).is_empty());
    }

    #[test]
    fn a_header_marker_between_differing_bytes_is_found_at_its_offset() {
        let mut suspects = [sample(3, b""), sample(5, b""), sample(9, b"")];
        for suspect in &mut suspects {
            suspect.head[0x42..0x50].copy_from_slice(b"k[Y\xd5\x07\x83n(\xa2Q\xf3;\xdaR");
        }
        let found = campaign_markers(&suspects, &[]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].end, found[0].offset_bytes), (FileEnd::Head, 0x42));
    }

    #[test]
    fn zeros_single_suspects_and_empty_files_give_nothing() {
        let zero = EndSample { head: vec![0; 256], tail: vec![0; 64] };
        assert!(campaign_markers(&[zero.clone(), zero.clone()], &[]).is_empty());
        assert!(campaign_markers(std::slice::from_ref(&zero), &[]).is_empty());
        assert!(campaign_markers(&[], &[]).is_empty());
        assert!(campaign_markers(&[EndSample::default(), zero], &[]).is_empty());
    }
}
