//! One disk out of a chain, with a word for every byte of it: which link it comes from, and in
//! what state.
//!
//! The disk is cut into units ([`plan`]), which all threads fill ([`fill`]) and pack; each gets its
//! place in order ([`place`]) and is written by its own thread ([`work`]). What is safe on the
//! medium stands in a record, from which a second run goes on ([`record`]). The output is read
//! back and held against that record ([`verify`]) before it gets its name.

mod boot;
mod damage;
mod fill;
mod image;
mod manifest;
mod objections;
mod out;
mod patch;
mod place;
mod plan;
mod record;
mod refused;
mod request;
mod snapshots;
mod target;
mod verify;
mod work;

use std::{io, path::Path};

use sha2::{Digest as _, Sha256};

use self::{
    image::Identity,
    manifest::OutputLine,
    out::Out,
    place::{Layout, Placer, Position},
    plan::Planner,
    record::{JobLine, Record},
    work::{End, Work, WorkError},
};
use crate::{
    disk::{Chain, VirtualDisk},
    source::{EvidenceRoot, RelPath},
    triage::judge::State,
};

pub use boot::{Rewritten, rewritten};
pub use damage::Damage;
pub use manifest::{
    JudgedBy, JudgedLine, LatticeLine, MANIFEST_SCHEMA, ManifestLine, OutputLine as Output,
    RangeLine, SampledLine, Sums, state_word,
};
pub use objections::objections;
pub use patch::{Patch, Repair, patches, write_patches};
pub use record::RecordError;
pub use refused::{ConsolidateError, Refused};
pub use request::{Consolidated, Format, Request};
pub use snapshots::{FrozenDisk, Selected, Snapshot, SnapshotTree, find_tree, select};
pub use target::Paths;
pub use verify::VerifyError;

/// Makes one disk of the chain as it was at link `at`.
///
/// Nothing of the chain is written to. Memory is bounded by [`Request::threads`], whatever the
/// size. A second call with the same request goes on where the first was stopped.
///
/// # Errors
/// [`ConsolidateError`].
pub fn consolidate(
    root: &EvidenceRoot,
    chain: &Chain,
    at: usize,
    damage: &Damage,
    request: &Request<'_>,
) -> Result<Consolidated, ConsolidateError> {
    let disk = chain.disk().at_link(at).ok_or_else(|| Refused::NoSize(format!("link {at}")))?;
    let size = disk.capacity_bytes();
    let name = chain
        .links
        .get(at)
        .map_or_else(String::new, |link| link.path.as_path().display().to_string());
    if size == 0 {
        return Err(Refused::NoSize(name).into());
    }
    if let Some(refused) = objections(chain, at).into_iter().next().filter(|_| !request.partial) {
        return Err(refused.into());
    }
    let paths = Paths::of(&request.output, request.format, request.manifest.as_deref());
    let (is_hurt, copied) = survey(&disk, damage, request);
    let sectors = size.div_ceil(512);
    let identity = Identity::of(&chain.links, at, sectors, is_hurt);
    let (layout, front, start) = layout(request.format, sectors, &identity, &paths)?;
    let job = job(root, chain, &disk, &name, damage, request, &paths, size);
    let known = paths.record.symlink_metadata().is_ok();
    if !known {
        target::check_free(&paths, request.overwrite)?;
        target::check_room(&paths, need(request.format, copied, &front))?;
    }
    let mut record = Record::open(&paths.record, &job, start.clone(), request.overwrite)?;
    let resumed_from = record.resumed_from();
    if !record.is_proven() {
        if known {
            target::check_free(&paths, request.overwrite)?;
            let there = target::allocated(&paths.part);
            target::check_room(&paths, need(request.format, copied, &front).saturating_sub(there))?;
        }
        let end = write(&disk, damage, request, &paths, &mut record, (layout, front, sectors))?;
        if end == End::Stopped {
            return Ok(result(paths, size, &record, false, resumed_from, true));
        }
        let hash = match prove(request, &paths, &record, &job.output, damage) {
            Err(VerifyError::Stopped) => {
                return Ok(result(paths, size, &record, false, resumed_from, true));
            }
            Err(error @ VerifyError::Differs { .. }) => {
                // What the record says is not there: the next run begins anew.
                record.remove()?;
                return Err(error.into());
            }
            other => other?,
        };
        record.set_proven(hash)?;
    }
    finish(request, &paths, &identity, sectors, record.file_hash()).map_err(|source| {
        ConsolidateError::Write { path: paths.output.clone(), next_bytes: size, source }
    })?;
    let done = result(paths, size, &record, request.prove, resumed_from, false);
    record.remove()?;
    Ok(done)
}

/// Bytes that are copied although a damage map does not call them good, as the disk at link `at`
/// holds them: nothing of the content is read.
#[must_use]
pub fn open_bytes(chain: &Chain, at: usize, damage: &Damage, stop: &dyn Fn() -> bool) -> u64 {
    let disk = chain.disk().at_link(at).filter(|_| damage.has_maps());
    let Some(disk) = disk else { return 0 };
    let mut sum = 0_u64;
    for unit in Planner::new(&disk, damage, true, 0) {
        let open =
            |piece: &&plan::Piece| piece.reason.is_some() && piece.state == State::Undetermined;
        sum += unit.pieces.iter().filter(open).map(plan::Piece::open_bytes).sum::<u64>();
        if stop() {
            break;
        }
    }
    sum
}

/// Reads the whole disk and writes nothing: how much of it can be had.
#[must_use]
pub fn read_through(
    chain: &Chain,
    at: usize,
    damage: &Damage,
    threads: usize,
    stop: &(dyn Fn() -> bool + Sync),
    progress: &(dyn Fn(u64) + Sync),
) -> Option<(Sums, bool)> {
    let disk = chain.disk().at_link(at)?;
    let planner = Planner::new(&disk, damage, true, 0);
    let work = Work {
        disk: &disk,
        damage,
        fill: 0,
        threads,
        level: 0,
        checkpoint_bytes: u64::MAX,
        stop,
        progress,
    };
    let (sums, end) = work::read_all(&work, planner);
    Some((sums, end == End::Done))
}

fn result(
    paths: Paths,
    size_bytes: u64,
    record: &Record,
    proven: bool,
    resumed_from: Option<u64>,
    stopped: bool,
) -> Consolidated {
    let (sums, ranges) = (record.sums(), record.ranges());
    Consolidated { paths, size_bytes, sums, ranges, proven, resumed_from, stopped }
}

/// Whether the fill stands anywhere, and how many bytes of the sources are copied: by tables and
/// maps, before a byte of content is read.
fn survey(disk: &VirtualDisk, damage: &Damage, request: &Request<'_>) -> (bool, u64) {
    let (mut is_hurt, mut copied) = (false, 0);
    for unit in Planner::new(disk, damage, request.fill == 0, 0) {
        for piece in &unit.pieces {
            // Sectors made anew stand for bytes that are gone all the same.
            let is_gone =
                matches!(piece.state, State::Encrypted | State::Unreadable | State::Damaged);
            is_hurt |= is_gone || piece.is_filled() || piece.lattice.is_some();
            if piece.is_copied() && piece.state != State::Zero {
                copied += piece.run.length;
            }
        }
        if (request.stop)() {
            break;
        }
    }
    (is_hurt, copied)
}

/// Bytes that the output takes at least.
fn need(format: Format, copied: u64, front: &[(u64, Vec<u8>)]) -> u64 {
    let front: u64 = front.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    match format {
        Format::Raw | Format::Flat | Format::Sparse => front + copied,
        // How far it deflates is not known before it is done; ciphertext does not at all.
        Format::Stream => front + copied / 16,
    }
}

type Front = Vec<(u64, Vec<u8>)>;

fn layout(
    format: Format,
    sectors: u64,
    identity: &Identity,
    paths: &Paths,
) -> Result<(Layout, Front, Position), Refused> {
    let name = paths.output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if format != Format::Raw && name.contains(['"', '\n', '\r']) {
        return Err(Refused::Format(format!("{name:?} cannot stand in a descriptor")));
    }
    let line = format!("RW {sectors} SPARSE \"{name}\"");
    Ok(match format {
        Format::Raw | Format::Flat => (Layout::Raw, Vec::new(), Position::default()),
        Format::Sparse => {
            let layout = image::sparse_layout(sectors).filter(|l| l.overhead.0 < 1 << 31);
            let layout = layout.ok_or_else(|| {
                Refused::Format("a sparse disk cannot be that large; use raw or flat".to_owned())
            })?;
            let text = identity.descriptor("monolithicSparse", &line);
            let position = Position { next_sector: layout.overhead.0, ..Position::default() };
            (Layout::Sparse(layout), image::sparse_front(&layout, &text), position)
        }
        Format::Stream => {
            let text = identity.descriptor("streamOptimized", &line);
            let position = Position { next_sector: image::STREAM_OVERHEAD, ..Position::default() };
            (Layout::Stream, vec![(0, image::stream_front(sectors, &text))], position)
        }
    })
}

#[expect(clippy::too_many_arguments, reason = "everything that a second run must have in common")]
fn job(
    root: &EvidenceRoot,
    chain: &Chain,
    disk: &VirtualDisk,
    at: &str,
    damage: &Damage,
    request: &Request<'_>,
    paths: &Paths,
    size: u64,
) -> JobLine {
    let sources = disk.files().iter().map(|file| {
        let path = RelPath::new(Path::new(&file.name)).unwrap_or_default();
        let changed = root
            .open_file(&path)
            .map_or_else(|error| error.to_string(), |opened| opened.stamp().mtime_ns.to_string());
        (file.name.clone(), file.source.len_bytes(), changed)
    });
    let leaf = chain
        .links
        .first()
        .map_or_else(String::new, |link| link.path.as_path().display().to_string());
    JobLine {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        output: OutputLine {
            schema: MANIFEST_SCHEMA.to_owned(),
            output: paths.output.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            format: request.format.word().to_owned(),
            size_bytes: size,
            leaf,
            at: at.to_owned(),
            fill: format!("{:02x}", request.fill),
        },
        level: request.level,
        sources: sources.collect(),
        damage: damage.digest(),
        maps: damage.given().to_vec(),
    }
}

fn write(
    disk: &VirtualDisk,
    damage: &Damage,
    request: &Request<'_>,
    paths: &Paths,
    record: &mut Record,
    (layout, front, sectors): (Layout, Front, u64),
) -> Result<End, ConsolidateError> {
    let from = record.next_bytes();
    let out = Out::open(&paths.part, from == 0);
    let wrong = |next_bytes: u64| {
        let path = paths.part.clone();
        move |source| ConsolidateError::Write { path, next_bytes, source }
    };
    let out = out.map_err(wrong(from))?;
    let length = length(request.format, sectors, disk.capacity_bytes());
    prepare(&out, &layout, &front, length, record).map_err(wrong(from))?;
    let planner = Planner::new(disk, damage, request.fill == 0, from);
    let position = record.position().clone();
    let placer_layout = match &layout {
        Layout::Raw => Layout::Raw,
        Layout::Sparse(layout) => Layout::Sparse(*layout),
        Layout::Stream => Layout::Stream,
    };
    let placer = Placer::new(placer_layout, disk.capacity_bytes(), position);
    let work = Work {
        disk,
        damage,
        fill: request.fill,
        threads: request.threads,
        level: request.level,
        checkpoint_bytes: request.checkpoint_bytes,
        stop: request.stop,
        progress: request.progress,
    };
    let end = match work::write(&work, planner, placer, &layout, &out, record) {
        Ok(end) => end,
        Err(WorkError::Write(source)) => return Err(wrong(record.next_bytes())(source)),
        Err(WorkError::Record(error)) => return Err(error.into()),
        Err(WorkError::TooLarge(error)) => {
            return Err(Refused::Format(error.to_string()).into());
        }
    };
    if end == End::Done {
        close(&out, &layout, sectors, record).map_err(wrong(record.next_bytes()))?;
    }
    Ok(end)
}

/// Length of a file whose length is known beforehand.
fn length(format: Format, sectors: u64, capacity: u64) -> Option<u64> {
    match format {
        Format::Raw => Some(capacity),
        Format::Flat => Some(sectors.saturating_mul(512)),
        Format::Sparse | Format::Stream => None,
    }
}

fn prepare(
    out: &Out,
    layout: &Layout,
    front: &Front,
    length: Option<u64>,
    record: &mut Record,
) -> io::Result<()> {
    match (layout, length) {
        (_, Some(length)) => out.set_len(length)?,
        // What was written beyond the last checkpoint is written again.
        (Layout::Raw, None) => {}
        (Layout::Sparse(_) | Layout::Stream, None) => {
            out.set_len(record.position().next_sector * 512)?;
        }
    }
    for (at, bytes) in front {
        out.write_all_at(bytes, *at)?;
    }
    Ok(())
}

/// Writes what comes last.
fn close(out: &Out, layout: &Layout, sectors: u64, record: &mut Record) -> io::Result<()> {
    let position = record.position();
    match layout {
        Layout::Raw => {}
        Layout::Sparse(_) => out.set_len(position.next_sector * 512)?,
        Layout::Stream => {
            let at = position.next_sector;
            let back = image::stream_back(sectors, &position.tables, at);
            out.write_all_at(&back, at * 512)?;
            out.set_len(at * 512 + back.len() as u64)?;
        }
    }
    out.sync_all()
}

/// Reads the output back, writes manifest and map, and hashes the whole file.
fn prove(
    request: &Request<'_>,
    paths: &Paths,
    record: &Record,
    output: &OutputLine,
    damage: &Damage,
) -> Result<Option<String>, VerifyError> {
    let sparse = matches!(request.format, Format::Sparse | Format::Stream);
    let disk = verify::open_made(&paths.part, sparse, output.size_bytes)?;
    let (manifest, map) = (paths.manifest_part(), paths.map_part());
    let with = verify::Companion {
        manifest: &manifest,
        map: &map,
        output,
        judged: damage.judged(),
        threads: request.threads,
        check: request.prove,
        stop: request.stop,
        progress: request.progress,
    };
    let (proven, hash) = std::thread::scope(|scope| {
        let hash = (request.file_hashes && !verify::is_hollow(&paths.part))
            .then(|| scope.spawn(|| verify::hash_file(&paths.part, request.stop)));
        let proven = verify::prove(&disk, record, &with);
        (proven, hash.map(std::thread::ScopedJoinHandle::join))
    });
    proven?;
    let Some(hash) = hash else { return Ok(None) };
    let what = paths.part.display().to_string();
    let wrong = |source| VerifyError::Io { what: what.clone(), source };
    hash.map_err(|_| wrong(io::ErrorKind::Other.into()))?.map(Some).map_err(wrong)
}

/// Gives everything its name, the disk last. May be done twice: a run that was killed here goes on.
fn finish(
    request: &Request<'_>,
    paths: &Paths,
    identity: &Identity,
    sectors: u64,
    hash: Option<&str>,
) -> io::Result<()> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let descriptor = (request.format == Format::Flat).then(|| {
        identity.descriptor("vmfs", &format!("RW {sectors} VMFS \"{}\"", name(&paths.data)))
    });
    if let Some(hash) = hash {
        let data = if paths.part.symlink_metadata().is_ok() { &paths.part } else { &paths.data };
        let size = data.symlink_metadata()?.len();
        let mut files = vec![(name(&paths.data), size, hash.to_owned())];
        if let Some(text) = &descriptor {
            let hash = hex::encode(Sha256::digest(text.as_bytes()));
            files.push((name(&paths.output), text.len() as u64, hash));
        }
        target::write_small(&paths.hashes, hashdeep(&files).as_bytes(), request.overwrite)?;
    }
    target::rename(&paths.map_part(), &paths.map, request.overwrite)?;
    target::rename(&paths.manifest_part(), &paths.manifest, request.overwrite)?;
    target::rename(&paths.part, &paths.data, request.overwrite)?;
    if let Some(text) = &descriptor {
        target::write_small(&paths.output, text.as_bytes(), request.overwrite)?;
    }
    target::sync_folder(&paths.output)
}

/// A file list as hashdeep writes and audits it.
fn hashdeep(files: &[(String, u64, String)]) -> String {
    let mut out = String::from("%%%% HASHDEEP-1.0\n%%%% size,sha256,filename\n");
    out.push_str("## Made by vmglean consolidate\n##\n");
    for (name, size, hash) in files {
        out.push_str(&format!("{size},{hash},{name}\n"));
    }
    out
}
