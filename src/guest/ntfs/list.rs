//! All files of a volume, one after another, with their verdicts.

use std::{
    collections::HashSet,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use rayon::prelude::*;
use vmglean_formats::ntfs::{FileRecord, attribute_list, filetime_to_unix_ns, kinds};

use super::{
    assemble::Frame,
    ghosts::{Ghost, Ghosts},
    place::{Entry, Placed, content_of, place},
    tree::{ROOT, Tree},
    verdict::judge,
};
use crate::guest::{
    Content, Extents, Ground, GuestFile, RecordFact, Sink, Stream, Tally, Verdict,
    claims::Claims,
    content,
    judge::{Bitmap, Judged, blindness, kind_by_name},
    scan::{Hits, RecordHit},
    volumes::{NtfsGeometry, Volume, VolumeKind, read_record},
};

/// Further records of one file that are followed.
const MOST_PARTS: usize = 8192;
/// Files judged together.
const BATCH: usize = 512;
/// Files by which the map is tested, and how large they may be.
const MOST_TRIALS: usize = 2048;
const LARGEST_TRIAL: u64 = 4 << 20;
/// Records below this belong to the file system.
const FIRST_OF_USERS: u64 = 24;

/// The files of one NTFS volume.
pub struct NtfsFiles<'a> {
    ground: &'a Ground<'a>,
    hits: &'a Hits,
    volume: &'a Volume,
    geometry: NtfsGeometry,
    placed: Placed,
    ghosts: Ghosts,
    contested: HashSet<u32>,
    bitmap: Option<Bitmap>,
    mistrust: Option<String>,
}

impl<'a> NtfsFiles<'a> {
    /// Files the volume's records; `None` where it is no NTFS volume.
    #[must_use]
    pub fn open(ground: &'a Ground<'a>, hits: &'a Hits, volume: &'a Volume) -> Option<Self> {
        let VolumeKind::Ntfs(geometry) = volume.kind else { return None };
        let placed = place(ground, hits, volume, geometry);
        let ghosts = Ghosts::collect(ground, hits, volume, &placed);
        let mut this = Self {
            ground,
            hits,
            volume,
            geometry,
            placed,
            ghosts,
            contested: HashSet::new(),
            bitmap: None,
            mistrust: None,
        };
        this.bitmap = this.load_bitmap();
        this.contested = this.claims().contested();
        this.mistrust = this.test_map();
        Some(this)
    }

    /// Why the map is not to be believed on this volume, if so: then only what proves itself is
    /// handed out.
    #[must_use]
    pub fn mistrust(&self) -> Option<&str> {
        self.mistrust.as_deref()
    }

    /// Tests the map by files that carry checksums over all of their bytes. One in a thousand
    /// was broken long before; more of them say that the map does not see the damage.
    fn test_map(&self) -> Option<String> {
        let is_provable = |hit: &&RecordHit| {
            hit.is_in_use
                && hit.base.is_none()
                && !hit.is_folder
                && self
                    .hits
                    .names_of(hit)
                    .iter()
                    .any(|name| content::is_provable(self.hits.text(name)))
        };
        let all: Vec<&Entry> = self
            .placed
            .entries
            .iter()
            .filter(|entry| {
                self.hits.records.get(entry.hit as usize).as_ref().is_some_and(is_provable)
            })
            .collect();
        let step = all.len().div_ceil(MOST_TRIALS).max(1);
        let trials: Vec<(&Entry, &RecordHit)> = all
            .into_iter()
            .step_by(step)
            .filter_map(|entry| Some((entry, self.hits.records.get(entry.hit as usize)?)))
            .collect();
        let told: Vec<(bool, bool)> = trials
            .into_par_iter()
            .flat_map_iter(|(entry, hit)| {
                let name = self.hits.names_of(hit).iter().find(|name| !name.is_dos_only);
                let name = name.map(|name| self.hits.text(name).to_vec()).unwrap_or_default();
                // Sizes are only known once a file is judged: first without its content.
                let small = self.file(entry, hit, vec![name.clone()], false);
                let is_small = small.first().is_some_and(|(file, _)| file.size <= LARGEST_TRIAL);
                if is_small { self.file(entry, hit, vec![name], true) } else { Vec::new() }
            })
            .map(|(file, _)| (file.content == Content::Proven, file.is_map_alarm()))
            .collect();
        blindness(&told)
    }

    /// Records found at their places.
    #[must_use]
    pub fn records(&self) -> usize {
        self.placed.entries.len()
    }

    /// Names whose records are lost.
    #[must_use]
    pub fn lost_names(&self) -> usize {
        self.ghosts.all.len()
    }

    /// What the places of the records rest on.
    #[must_use]
    pub fn rests_on(&self) -> &str {
        &self.placed.rests_on
    }

    /// Hands every file, folder and stream to `sink`, records first, then lost names. Content is
    /// tested where `test` is set. Stops early when `stop` is set.
    ///
    /// # Errors
    /// As the sink says.
    pub fn each(&self, test: bool, stop: &AtomicBool, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut tree = Tree::new(self.hits, &self.placed, &self.ghosts);
        for batch in self.placed.entries.chunks(BATCH) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let named: Vec<(&Entry, &RecordHit, Vec<Vec<u8>>)> = batch
                .iter()
                .filter_map(|entry| Some((entry, self.hits.records.get(entry.hit as usize)?)))
                .filter(|(_, hit)| hit.base.is_none())
                .map(|(entry, hit)| (entry, hit, tree.paths(hit)))
                .collect();
            let judged: Vec<Judged> = named
                .into_par_iter()
                .flat_map_iter(|(entry, hit, paths)| self.file(entry, hit, paths, test))
                .collect();
            for (file, stream) in judged {
                sink(file, stream)?;
            }
        }
        let mut last = None;
        for ghost in &self.ghosts.all {
            // Several names of one lost record are several lost names.
            let path = tree.join(ghost.name.parent, &ghost.name.name);
            let key = Some((ghost.record, path.clone()));
            if last != key {
                sink(self.lost(ghost, path), None)?;
                last = key;
            }
        }
        Ok(())
    }

    fn file(
        &self,
        entry: &Entry,
        hit: &RecordHit,
        mut paths: Vec<Vec<u8>>,
        test: bool,
    ) -> Vec<Judged> {
        let Some(base) = read_record(self.ground, hit) else { return Vec::new() };
        let is_free = !hit.is_in_use && paths.is_empty();
        if is_free {
            // Never used, or wiped: nothing to tell.
            return Vec::new();
        }
        let mut reasons = Vec::new();
        if paths.is_empty() {
            paths.push(format!("(no name {})", hit.number).into_bytes());
            reasons.push("no name of it is left".to_owned());
        }
        if entry.is_doubtful {
            reasons
                .push("only a short or contested row of records speaks for its place".to_owned());
        }
        if !hit.is_good {
            reasons.push("the map does not vouch for its record".to_owned());
        }
        if !hit.is_whole {
            reasons.push("its record does not hold together".to_owned());
        }
        if self.contested.contains(&hit.number) {
            reasons.push("another file claims the same clusters".to_owned());
        }
        let is_system = u64::from(hit.number) < FIRST_OF_USERS
            || paths.first().is_some_and(|path| path.starts_with(b"$Extend/"));
        let (records, more) = self.parts(base);
        reasons.extend(more);
        let head = GuestFile {
            volume: self.volume.number,
            record_number: u64::from(hit.number),
            sequence: hit.sequence,
            record_at: Some(hit.at),
            path: paths.remove(0),
            links: paths,
            size: 0,
            is_folder: hit.is_folder,
            is_deleted: !hit.is_in_use,
            is_system,
            is_withheld: false,
            record: RecordFact::Ok,
            extents: Extents::Unknown,
            content: Content::Untested,
            verdict: Verdict::Undetermined,
            tally: Tally::default(),
            kind: String::new(),
            reparse: None,
            times: [None; 4],
            places: Vec::new(),
            holes: Vec::new(),
            doubts: reasons,
            notes: Vec::new(),
        };
        let mut judged =
            judge(self.ground, self.bitmap.as_ref(), self.frame(), &records, head, test);
        if let Some(why) = &self.mistrust {
            for (file, _) in &mut judged {
                file.distrust(why);
            }
        }
        judged
    }

    /// The first record with all further ones, and what is missing of them.
    fn parts(&self, base: FileRecord) -> (Vec<FileRecord>, Vec<String>) {
        let mut reasons = Vec::new();
        let list = base.of_kind(kinds::ATTRIBUTE_LIST).next();
        let content =
            list.map(|list| content_of(self.ground, self.volume, self.geometry, &base, list));
        let number = base.head.number;
        let mut records = vec![base];
        match content {
            None => {}
            Some(None) => reasons.push("the list of its further records is lost".to_owned()),
            Some(Some(list)) => {
                let (entries, is_whole) = attribute_list(&list);
                if !is_whole {
                    reasons.push("the list of its further records is broken".to_owned());
                }
                let mut wanted: Vec<_> = entries.iter().map(|entry| entry.record).collect();
                wanted.sort_unstable();
                wanted.dedup();
                wanted.retain(|record| Some(record.number) != number.map(u64::from));
                if wanted.len() > MOST_PARTS {
                    reasons.push(format!("it has {} further records", wanted.len()));
                }
                for wanted in wanted.into_iter().take(MOST_PARTS) {
                    let found = self
                        .placed
                        .find(wanted.number)
                        .filter(|entry| !entry.is_doubtful)
                        .and_then(|entry| self.hits.records.get(entry.hit as usize))
                        .filter(|hit| {
                            hit.base.is_some()
                                && hit.base == number
                                && hit.sequence == wanted.sequence
                                && hit.is_good
                                && hit.is_whole
                        })
                        .and_then(|hit| read_record(self.ground, hit));
                    match found {
                        Some(record) => records.push(record),
                        None => {
                            reasons.push(format!("its further record {} is lost", wanted.number));
                        }
                    }
                }
            }
        }
        (records, reasons)
    }

    fn frame(&self) -> Frame {
        Frame {
            start: self.volume.start,
            bytes: self.volume.bytes,
            cluster: u64::from(self.geometry.cluster_bytes),
        }
    }

    fn claims(&self) -> Claims {
        let mut claims = Claims::default();
        for batch in self.placed.entries.chunks(BATCH * 16) {
            let found: Vec<(u32, Vec<(u64, u64)>)> = batch
                .par_iter()
                .filter(|entry| !entry.is_doubtful)
                .filter_map(|entry| self.hits.records.get(entry.hit as usize))
                .filter(|hit| hit.is_in_use && hit.is_good)
                .filter_map(|hit| {
                    let record = read_record(self.ground, hit)?;
                    // Parts of one file are one owner.
                    let owner = hit.base.unwrap_or(hit.number);
                    let runs =
                        record.attributes.iter().flat_map(|attribute| match &attribute.body {
                            vmglean_formats::ntfs::AttributeBody::NonResident { runs, .. } => {
                                runs.as_slice()
                            }
                            vmglean_formats::ntfs::AttributeBody::Resident { .. } => &[],
                        });
                    Some((owner, runs.filter_map(|run| Some((run.lcn?, run.clusters))).collect()))
                })
                .collect();
            claims.add_all(found);
        }
        claims
    }

    fn load_bitmap(&self) -> Option<Bitmap> {
        const BITMAP: u64 = 6;
        let entry = self.placed.find(BITMAP).filter(|entry| !entry.is_doubtful)?;
        let hit = self.hits.records.get(entry.hit as usize)?;
        let (records, reasons) = self.parts(read_record(self.ground, hit)?);
        let stream = Stream::assemble(&records, kinds::DATA, b"", self.frame())?;
        if !reasons.is_empty() || !stream.defects.is_empty() || !hit.is_good {
            return None;
        }
        Bitmap::load(self.ground, &stream)
    }

    /// A name whose record is gone.
    fn lost(&self, ghost: &Ghost, path: Vec<u8>) -> GuestFile {
        let place =
            self.placed.place_of(ghost.record.number, u64::from(self.geometry.record_bytes));
        // Where the record's place can be read and holds none, it was given up before the attack.
        let is_readable = place.is_some_and(|at| {
            self.ground.is_good(at..at.saturating_add(u64::from(self.geometry.record_bytes)))
        });
        let mut notes =
            vec!["its record is lost; name, size and times are from its folder".to_owned()];
        if ghost.is_slack {
            notes.push(
                "from the unused end of an index block: may have been renamed or deleted"
                    .to_owned(),
            );
        }
        let [created, changed, record, read] = ghost.name.times.map(filetime_to_unix_ns);
        GuestFile {
            volume: self.volume.number,
            record_number: ghost.record.number,
            sequence: ghost.record.sequence,
            record_at: None,
            path,
            links: Vec::new(),
            size: ghost.name.size,
            is_folder: ghost.name.is_folder(),
            is_deleted: is_readable,
            is_system: ghost.record.number < FIRST_OF_USERS && ghost.record.number != ROOT,
            is_withheld: false,
            record: RecordFact::Lost,
            extents: Extents::Unknown,
            content: Content::Untested,
            verdict: Verdict::Lost,
            tally: Tally::default(),
            kind: kind_by_name(&ghost.name.name, ghost.name.is_folder()),
            reparse: None,
            times: [created, changed, record, read],
            places: Vec::new(),
            holes: Vec::new(),
            doubts: Vec::new(),
            notes,
        }
    }
}
