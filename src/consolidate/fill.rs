//! The bytes of a unit: read, inflated or filled, with a manifest line for each range.

use sha2::{Digest, Sha256};
use vmglean_formats::{ByteOffset, MediumError, ReadAt};

use super::{
    damage::Damage,
    manifest::{LatticeLine, RangeLine, Sums, state_word},
    out::Buffer,
    plan::{Piece, Unit},
};
use crate::{
    disk::{FileId, ResolvedRun, RunState, VirtualDisk},
    triage::judge::{Lattice, State},
};

/// Blocks of zeros at least this long in a row stay holes.
pub(super) const ZERO_BLOCK: usize = 4096;
/// Bytes read at a time where nothing is kept.
const READ_STEP: u64 = 256 << 10;
/// What an unreadable range is narrowed down to.
const SECTOR: usize = 512;

/// A unit's bytes and what is to be told of them.
pub(super) struct Filled {
    pub(super) index: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Empty for a stretch of holes.
    pub(super) bytes: Buffer,
    pub(super) lines: Vec<RangeLine>,
    pub(super) sums: Sums,
    /// Bytes read from sources.
    pub(super) read: u64,
}

/// Fills units. One a thread.
pub(super) struct Filler<'a> {
    disk: &'a VirtualDisk,
    /// Reasons, and sectors that are made anew.
    damage: &'a Damage,
    /// One byte, repeated, in the place of what is not to be had.
    fill: u8,
    /// Whether ranges are hashed.
    hashes: bool,
    inflater: libdeflater::Decompressor,
    packed: Vec<u8>,
    /// The last inflated grain: its file, place and bytes. A grain may be asked for in parts.
    grain: Option<(FileId, u64, Vec<u8>)>,
}

/// What became of a range.
struct Part {
    piece: Piece,
    state: State,
    why: Option<String>,
}

impl Part {
    /// Small encrypted runs in it, where the rest could be read.
    fn lattice(&self) -> Option<Lattice> {
        let is_there = matches!(self.state, State::Intact | State::Zero | State::Undetermined);
        self.piece.lattice.filter(|_| is_there && !self.piece.withheld)
    }

    /// Counts its bytes, those of small runs apart; `state` is that of the others.
    fn count(&self, state: State, sums: &mut Sums) -> u64 {
        let run = &self.piece.run;
        let lattice = self.lattice();
        let inside = lattice.map_or(0, |l| l.encrypted_bytes(&(run.offset..run.end())));
        sums.add(State::Encrypted, inside);
        sums.add(state, run.length.saturating_sub(inside));
        inside
    }
}

impl<'a> Filler<'a> {
    pub(super) fn new(disk: &'a VirtualDisk, damage: &'a Damage, fill: u8, hashes: bool) -> Self {
        Self {
            disk,
            damage,
            fill,
            hashes,
            inflater: libdeflater::Decompressor::new(),
            packed: Vec::new(),
            grain: None,
        }
    }

    /// Reads a unit. `bytes` is a buffer to be used again.
    pub(super) fn fill(&mut self, unit: &Unit, mut bytes: Buffer) -> Filled {
        let length = if unit.is_empty { 0 } else { unit.end - unit.start };
        bytes.resize(usize::try_from(length).unwrap_or(0));
        let mut filled = Filled {
            index: unit.index,
            start: unit.start,
            end: unit.end,
            bytes,
            lines: Vec::with_capacity(unit.pieces.len()),
            sums: Sums::default(),
            read: 0,
        };
        for piece in &unit.pieces {
            let from = usize::try_from(piece.run.offset - unit.start).unwrap_or(usize::MAX);
            let to = from.saturating_add(usize::try_from(piece.run.length).unwrap_or(usize::MAX));
            let range = if unit.is_empty { 0..0 } else { from..to };
            let mut buffer = std::mem::take(&mut filled.bytes);
            if let Some(place) = buffer.get_mut(range) {
                if let Some(made) = self.made(piece) {
                    place.copy_from_slice(made);
                    let part = Part { piece: *piece, state: piece.state, why: self.why(piece) };
                    self.tell(&part, place, piece.run.offset, &mut filled);
                } else if piece.is_copied() {
                    for part in self.copy(piece, place) {
                        self.overlay(&part, place, piece.run.offset);
                        filled.read += part.piece.run.length;
                        self.tell(&part, place, piece.run.offset, &mut filled);
                    }
                } else {
                    // The buffer was used before.
                    place.fill(if piece.is_filled() { self.fill } else { 0 });
                    let why = self.why(piece);
                    let part = Part { piece: *piece, state: piece.state, why };
                    self.tell(&part, place, piece.run.offset, &mut filled);
                }
            }
            filled.bytes = buffer;
        }
        filled
    }

    /// Reads a unit for nothing but to know that it can be read: in small steps, which stay in the
    /// processor's own memory.
    pub(super) fn read(&mut self, unit: &Unit, scratch: &mut Vec<u8>) -> (Sums, u64) {
        let mut sums = Sums::default();
        let mut read = 0;
        for piece in &unit.pieces {
            if !piece.is_copied() {
                sums.add(piece.state, piece.run.length);
                continue;
            }
            read += piece.run.length;
            let whole = piece.run.state == RunState::Compressed;
            let mut at = piece.run.offset;
            while at < piece.run.end() {
                let left = piece.run.end() - at;
                let step = if whole { left } else { left.min(READ_STEP) };
                let run = piece.run.clip(at, at + step);
                let length = usize::try_from(step).unwrap_or(0);
                // Only ever grown: zeroing what is read over next costs as much as some reads.
                if scratch.len() < length {
                    scratch.resize(length, 0);
                }
                let place = scratch.get_mut(..length).unwrap_or_default();
                for part in self.copy(&Piece { run, ..*piece }, place) {
                    part.count(part.state, &mut sums);
                }
                at += step;
            }
        }
        (sums, read)
    }

    /// The bytes of a piece that is made anew.
    fn made(&self, piece: &Piece) -> Option<&'a [u8]> {
        let made = self.damage.rewritten().get(piece.rewritten?)?;
        let from = usize::try_from(piece.run.offset.checked_sub(made.at)?).ok()?;
        made.bytes.get(from..)?.get(..usize::try_from(piece.run.length).ok()?)
    }

    fn why(&self, piece: &Piece) -> Option<String> {
        match piece.state {
            State::Damaged | State::Unreadable if piece.run.state.is_gone() => {
                Some(self.disk.why_gone(&piece.run))
            }
            State::Encrypted => Some("encrypted, by the damage map of the file".to_owned()),
            State::Damaged | State::Unreadable => Some("by the damage map of the file".to_owned()),
            State::Undetermined => self.why_undetermined(piece),
            State::Zero | State::Absent | State::Intact => None,
        }
    }

    fn why_undetermined(&self, piece: &Piece) -> Option<String> {
        let doubt = piece.doubt.map(|doubt| doubt.words().to_owned());
        doubt.or_else(|| piece.reason.map(|reason| self.damage.words(reason)))
    }

    /// Reads a piece into its place; what cannot be had is filled and told apart.
    fn copy(&mut self, piece: &Piece, place: &mut [u8]) -> Vec<Part> {
        let doubt = self.why_undetermined(piece).filter(|_| piece.state == State::Undetermined);
        if piece.run.state == RunState::Compressed {
            let (state, why) = match self.inflate(&piece.run, place) {
                // Its own checksum agrees.
                Ok(()) if piece.doubt.is_none() => (State::Intact, None),
                Ok(()) => (State::Undetermined, doubt),
                Err((state, why)) => {
                    place.fill(self.fill);
                    (state, Some(why))
                }
            };
            return vec![Part { piece: *piece, state, why }];
        }
        let Some(file) = piece.run.file.and_then(|id| self.disk.file(id)) else {
            place.fill(self.fill);
            let why = Some("its file is not there any more".to_owned());
            return vec![Part { piece: *piece, state: State::Damaged, why }];
        };
        let at = piece.run.file_offset;
        if file.source.read_exact_at(place, ByteOffset(at)).is_ok() {
            return vec![Part { piece: *piece, state: piece.state, why: doubt }];
        }
        // Narrow the failure down: every sector that comes is kept.
        let mut parts: Vec<Part> = Vec::new();
        let mut done = 0;
        while done < place.len() {
            let (step, outcome) = read_some(&*file.source, at, place, done);
            let run = piece
                .run
                .clip(piece.run.offset + done as u64, piece.run.offset + (done + step) as u64);
            let part = match outcome {
                Ok(()) => {
                    Part { piece: Piece { run, ..*piece }, state: piece.state, why: doubt.clone() }
                }
                Err(error) => {
                    place[done..done + step].fill(self.fill);
                    let (state, why) = match error {
                        MediumError::End { .. } => {
                            (State::Damaged, "its file ends before it".to_owned())
                        }
                        MediumError::Io { source, .. } => (State::Unreadable, source.to_string()),
                    };
                    Part { piece: Piece { run, ..*piece }, state, why: Some(why) }
                }
            };
            match parts.last_mut() {
                Some(last) if last.state == part.state && last.why == part.why => {
                    last.piece.run.length += part.piece.run.length;
                }
                _ => parts.push(part),
            }
            done += step;
        }
        parts
    }

    fn inflate(&mut self, run: &ResolvedRun, place: &mut [u8]) -> Result<(), (State, String)> {
        let Some(id) = run.file else { return Err((State::Damaged, "no file".to_owned())) };
        let skip = usize::try_from(run.skip).unwrap_or(usize::MAX);
        let kept = self.grain.as_ref().is_some_and(|(f, at, _)| *f == id && *at == run.file_offset);
        if !kept {
            let whole = skip == 0;
            match self.inflate_new(id, run, place) {
                Ok(true) if whole => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        let bytes = self.grain.as_ref().and_then(|(_, _, bytes)| bytes.get(skip..));
        match bytes.and_then(|bytes| bytes.get(..place.len())) {
            Some(bytes) => {
                place.copy_from_slice(bytes);
                Ok(())
            }
            None => Err((State::Damaged, "the grain inflates to fewer bytes".to_owned())),
        }
    }

    /// Inflates a grain, straight into its place where it ends there; `true` if that was done.
    fn inflate_new(
        &mut self,
        id: FileId,
        run: &ResolvedRun,
        place: &mut [u8],
    ) -> Result<bool, (State, String)> {
        let Some(file) = self.disk.file(id) else {
            return Err((State::Damaged, "its file is not there any more".to_owned()));
        };
        let stored = usize::try_from(run.stored).unwrap_or(usize::MAX).min(MAX_STORED);
        self.packed.resize(stored, 0);
        file.source
            .read_exact_at(&mut self.packed, ByteOffset(run.file_offset))
            .map_err(|error| (State::Unreadable, error.to_string()))?;
        if run.skip == 0 && self.inflater.zlib_decompress(&self.packed, place) == Ok(place.len()) {
            return Ok(true);
        }
        // Only a part of it is asked for, or it is longer: inflate it whole, apart.
        let need = usize::try_from(run.skip.saturating_add(run.length)).unwrap_or(usize::MAX);
        let most = need.max(64 << 10).saturating_mul(2).min(MAX_GRAIN);
        let mut grain = match self.grain.take() {
            Some((_, _, bytes)) => bytes,
            None => Vec::new(),
        };
        grain.clear();
        grain.resize(most, 0);
        let length = self
            .inflater
            .zlib_decompress(&self.packed, &mut grain)
            .map_err(|error| (State::Damaged, format!("the grain does not inflate: {error}")))?;
        grain.truncate(length);
        self.grain = Some((id, run.file_offset, grain));
        Ok(false)
    }

    /// Puts the fill over the small encrypted runs of a part; `whole` begins at `origin`.
    fn overlay(&self, part: &Part, whole: &mut [u8], origin: u64) {
        let Some(lattice) = part.lattice() else { return };
        for run in lattice.runs(part.piece.run.offset..part.piece.run.end()) {
            let place = |at: u64| usize::try_from(at.saturating_sub(origin)).unwrap_or(usize::MAX);
            if let Some(bytes) = whole.get_mut(place(run.start)..place(run.end)) {
                bytes.fill(self.fill);
            }
        }
    }

    /// A manifest line for a part; `whole` is the place of its piece, which begins at `origin`.
    fn tell(&self, part: &Part, whole: &[u8], origin: u64, filled: &mut Filled) {
        let run = &part.piece.run;
        let from = usize::try_from(run.offset - origin).unwrap_or(0);
        let to = from.saturating_add(usize::try_from(run.length).unwrap_or(0)).min(whole.len());
        let bytes = whole.get(from..to).unwrap_or_default();
        let rewritten = part.piece.rewritten.and_then(|number| self.damage.rewritten().get(number));
        let is_gone = matches!(part.state, State::Encrypted | State::Unreadable | State::Damaged);
        let is_filled = rewritten.is_none() && (is_gone || part.piece.withheld);
        let zero = is_zero(bytes);
        let has_source =
            rewritten.is_none() && matches!(run.state, RunState::Data | RunState::Compressed);
        let is_read = has_source && !bytes.is_empty() && !part.piece.withheld;
        // Read, and all zero: that much is known, whatever the tables say.
        let (state, why) = match part.state {
            State::Undetermined
                if zero && is_read && part.piece.doubt.is_none() && part.lattice().is_none() =>
            {
                (State::Zero, None)
            }
            state => (state, part.why.clone()),
        };
        let inside = part.count(state, &mut filled.sums);
        if !self.hashes {
            return;
        }
        let file = run.file.filter(|_| has_source).and_then(|id| self.disk.file(id));
        let lattice = part.lattice().filter(|_| inside > 0).map(|lattice| LatticeLine {
            phase_bytes: lattice.origin,
            run_bytes: lattice.run,
            period_bytes: lattice.period,
            encrypted_bytes: inside,
            between: state_word(state).to_owned(),
        });
        let lattice_why = lattice.as_ref().map(|_| {
            let small = "small runs are encrypted, by the damage map of the file";
            match &why {
                None => small.to_owned(),
                Some(why) => format!("{small}; between them: {why}"),
            }
        });
        let compressed = has_source && run.state == RunState::Compressed;
        filled.lines.push(RangeLine {
            offset_bytes: run.offset,
            length_bytes: run.length,
            // A range that holds small encrypted runs is not good, whatever lies between them.
            state: state_word(if lattice.is_some() { State::Encrypted } else { state }).to_owned(),
            filled: is_filled || lattice.is_some(),
            link: run.link,
            file: file.map(|file| file.name.clone()),
            file_offset_bytes: file.map(|_| run.file_offset),
            stored_bytes: compressed.then_some(run.stored),
            skip_bytes: (compressed && run.skip > 0).then_some(run.skip),
            sha256: (!zero).then(|| hex::encode(Sha256::digest(bytes))),
            lattice,
            rewritten: rewritten.map(|made| made.what.clone()),
            why: match lattice_why {
                Some(text) => Some(text),
                None => why,
            },
        });
    }
}

/// Longest compressed grain that is read; no writer comes near.
const MAX_STORED: usize = 192 << 20;
const MAX_GRAIN: usize = 64 << 20;

/// Reads from `done` on as much as comes, at least a sector's worth of an answer.
fn read_some(
    source: &dyn ReadAt,
    at: u64,
    place: &mut [u8],
    done: usize,
) -> (usize, Result<(), MediumError>) {
    let from = at + done as u64;
    let left = place.len() - done;
    for step in [64 << 10, 4096] {
        let step = left.min(step);
        let part = &mut place[done..done + step];
        if source.read_exact_at(part, ByteOffset(from)).is_ok() {
            return (step, Ok(()));
        }
    }
    let step = left.min(SECTOR - (from as usize % SECTOR));
    let read = source.read_exact_at(&mut place[done..done + step], ByteOffset(from));
    (step, read)
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; ZERO_BLOCK] = [0; ZERO_BLOCK];
    bytes.chunks(ZERO_BLOCK).all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk))
}
