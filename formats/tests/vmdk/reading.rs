//! Reads a whole extent through its map, as a disk reader does.

use vmglean_formats::{
    ByteOffset, Bytes, Defect, ReadAt,
    vmdk::{ExtentMap, Run, RunKind, inflate_grain},
};

/// What came out of a whole extent. `states` has one word for every 512 bytes.
pub(crate) struct Whole {
    pub(crate) bytes: Vec<u8>,
    pub(crate) states: Vec<State>,
    pub(crate) defects: Vec<Defect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Data,
    Zero,
    Absent,
    Lost,
}

/// Every run of the extent, asked for in small portions.
pub(crate) fn all_runs(
    map: &dyn ExtentMap,
    file: &dyn ReadAt,
    portion: usize,
) -> (Vec<Run>, Vec<Defect>) {
    let capacity = map.capacity().0;
    let (mut at, mut runs, mut defects) = (0, Vec::new(), Vec::new());
    while at < capacity {
        let answer = map
            .runs(file, ByteOffset(at), Bytes(capacity - at), portion)
            .expect("inside the capacity");
        assert!(!answer.value.is_empty(), "no runs at {at}");
        for run in answer.value {
            assert_eq!(run.offset.0, at, "runs follow each other");
            assert!(run.length.0 > 0);
            at = run.offset.0 + run.length.0;
            runs.push(run);
        }
        for defect in answer.defects {
            if !defects.contains(&defect) {
                defects.push(defect);
            }
        }
        assert!(defects.len() < 5000, "defects are bounded");
    }
    assert_eq!(at, capacity, "runs cover the capacity");
    (runs, defects)
}

/// Bytes that the runs of an extent name as data.
pub(crate) fn named_bytes(map: &dyn ExtentMap, file: &dyn ReadAt) -> u64 {
    let (runs, _) = all_runs(map, file, 10_000);
    let data = |run: &&Run| matches!(run.kind, RunKind::Stored { .. } | RunKind::Compressed { .. });
    runs.iter().filter(data).map(|run| run.length.0).sum()
}

pub(crate) fn read_whole(map: &dyn ExtentMap, file: &dyn ReadAt, portion: usize) -> Whole {
    let (runs, mut defects) = all_runs(map, file, portion);
    let capacity = usize::try_from(map.capacity().0).unwrap();
    let mut bytes = vec![0; capacity];
    let mut states = Vec::new();
    for run in runs {
        let start = usize::try_from(run.offset.0).unwrap();
        let stop = start + usize::try_from(run.length.0).unwrap();
        let out = &mut bytes[start..stop];
        let state = match run.kind {
            RunKind::Stored { at } => {
                file.read_exact_at(out, at).expect("stored runs lie inside the file");
                State::Data
            }
            RunKind::Compressed { at, stored } => {
                let mut zlib = vec![0; usize::try_from(stored.0).unwrap()];
                file.read_exact_at(&mut zlib, at).expect("compressed runs lie inside the file");
                // The last grain is stored whole, its run ends with the disk: room for the largest grain.
                let mut grain = vec![0; out.len().max(128 * 512)];
                match inflate_grain(&zlib, &mut grain) {
                    Ok(done) if done.produced >= out.len() => {
                        let take = out.len();
                        out.copy_from_slice(&grain[..take]);
                        State::Data
                    }
                    Ok(_) => State::Lost,
                    Err(kind) => {
                        defects.push(Defect::new("Grain", "data", at, kind));
                        State::Lost
                    }
                }
            }
            RunKind::Zero => State::Zero,
            RunKind::Absent => State::Absent,
            RunKind::Lost => State::Lost,
        };
        let sectors = usize::try_from(run.length.0.div_ceil(512)).unwrap();
        states.extend(std::iter::repeat_n(state, sectors));
    }
    Whole { bytes, states, defects }
}
