//! All files of a volume, one after another, with their verdicts.

use std::{
    collections::HashSet,
    io,
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
};

use rayon::prelude::*;
use vmglean_formats::{
    ByteOffset, ReadAt as _,
    ext::{EntryKind, Inode, InodeKind, inode_flags},
};

use super::{
    base::Base,
    bitmaps::bitmap,
    inodes::{Entry, Inodes, read_inode},
    journal::{UNTOLD, waiting},
    map::stream,
    names::{self, ROOT, child},
    reach::reach,
};
use crate::guest::{
    Content, Extents, Ground, GuestFile, RecordFact, Sink, Stream, StreamReader, Tally, Verdict,
    claims::Claims,
    content,
    judge::{Bitmap, Judged, Use, against, blindness, kind_by_name, settle, tested},
    names::{Name, Names, Tree},
    scan::Hits,
    volumes::{Volume, VolumeKind},
};

/// Files judged together.
const BATCH: usize = 512;
/// Files by which the map is tested, and how large they may be.
const MOST_TRIALS: usize = 2048;
const LARGEST_TRIAL: u64 = 4 << 20;
/// Longest target of a link that is told.
const LONGEST_TARGET: u64 = 4096;
/// Said of a file in blocks that only the volume's start would put there.
const ELSEWHERE: &str = "nothing shows that the volume goes on in one piece to where its blocks lie: inside LVM2 they may \
     lie elsewhere";
/// Owner of what belongs to the file system, among claims.
const OWN: u32 = 0;

/// The files of one ext2, ext3 or ext4 volume.
pub struct ExtFiles<'a> {
    ground: &'a Ground<'a>,
    volume: &'a Volume,
    base: Base<'a>,
    inodes: Inodes,
    names: Names,
    bitmap: Option<Bitmap>,
    contested: HashSet<u32>,
    /// Blocks that lie where the volume's start puts them, where that is in doubt.
    reach: Option<RangeInclusive<u64>>,
    mistrust: Option<String>,
    lost_names: usize,
    rests_on: String,
}

impl<'a> ExtFiles<'a> {
    /// Reads the volume's inodes and folders; `None` where it is no ext volume.
    #[must_use]
    pub fn open(ground: &'a Ground<'a>, hits: &'a Hits, volume: &'a Volume) -> Option<Self> {
        let VolumeKind::Ext(shape) = volume.kind else { return None };
        let base = Base::new(ground, volume.start, shape);
        let mut waiting = waiting(&base);
        let replayed = waiting.copies.len();
        let base = base.with_journal(waiting.copies);
        let inodes = Inodes::read(&base);
        let names = names::read(&base, &inodes, &hits.folders);
        let bitmap = bitmap(&base, &inodes);
        let lost_names =
            names.all().iter().filter(|name| inodes.find(child(name)).is_none()).count();
        let groups = inodes.groups.len() as u64;
        let mut rests_on =
            format!("descriptors of {} of {groups} groups", groups - inodes.lost_groups);
        if replayed > 0 {
            rests_on.push_str(&format!(", {replayed} newer blocks from the journal"));
        }
        // A journal that was given up leaves its head behind, which says that nothing waits.
        let is_given_up = |bitmap: &Bitmap| {
            let asked = waiting.places.iter().map(|(first, count)| bitmap.asks(*first, *count));
            asked.into_iter().any(|used| matches!(used, Use::Free | Use::Mixed))
        };
        if bitmap.as_ref().is_some_and(is_given_up) {
            waiting.doubt = Some(UNTOLD.to_owned());
        }
        let mut this = Self {
            ground,
            volume,
            base,
            inodes,
            names,
            bitmap,
            contested: HashSet::new(),
            reach: None,
            mistrust: None,
            lost_names,
            rests_on,
        };
        this.contested = this.claims().contested();
        this.reach = reach(&this.base, &this.inodes, hits);
        this.mistrust = waiting.doubt.or_else(|| this.test_map());
        Some(this)
    }

    /// Why only what proves itself is handed out of this volume, if so.
    #[must_use]
    pub fn mistrust(&self) -> Option<&str> {
        self.mistrust.as_deref()
    }

    /// Inodes found at their places.
    #[must_use]
    pub fn records(&self) -> usize {
        self.inodes.entries.len()
    }

    /// Names whose inodes are lost.
    #[must_use]
    pub fn lost_names(&self) -> usize {
        self.lost_names
    }

    /// What the places of the inodes rest on.
    #[must_use]
    pub fn rests_on(&self) -> &str {
        &self.rests_on
    }

    /// Hands every file and folder to `sink`, inodes first, then lost names. Content is tested
    /// where `test` is set. Stops early when `stop` is set.
    ///
    /// # Errors
    /// As the sink says.
    pub fn each(&self, test: bool, stop: &AtomicBool, sink: &mut Sink<'_>) -> io::Result<()> {
        let mut tree = Tree::new(&self.names, Some(u64::from(ROOT)));
        for batch in self.inodes.entries.chunks(BATCH) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let named: Vec<(&Entry, Vec<Vec<u8>>)> =
                batch.iter().map(|entry| (entry, tree.paths(u64::from(entry.number)))).collect();
            let judged: Vec<Judged> = named
                .into_par_iter()
                .filter_map(|(entry, paths)| self.file(entry, paths, test))
                .collect();
            for (file, stream) in judged {
                sink(file, stream)?;
            }
        }
        for name in self.names.all() {
            if self.inodes.find(child(name)).is_none() {
                sink(self.lost(name, tree.join(name)), None)?;
            }
        }
        Ok(())
    }

    fn is_system(&self, number: u32) -> bool {
        number == ROOT || self.base.shape.is_own(number)
    }

    fn file(&self, entry: &Entry, mut paths: Vec<Vec<u8>>, test: bool) -> Option<Judged> {
        let inode = read_inode(&self.base, entry.at)?;
        let bytes = stream(&self.base, entry.number, &inode);
        let is_deleted = !entry.is_live;
        if is_deleted && (inode.kind == InodeKind::Folder || !bytes.has_clusters()) {
            // What it held is forgotten.
            return None;
        }
        let is_system =
            self.is_system(entry.number) || inode.has(inode_flags::EA_INODE) && paths.is_empty();
        let mut doubts = Vec::new();
        let mut notes = Vec::new();
        // Names that still lead to a deleted inode are of whoever had the number before.
        if is_deleted || paths.is_empty() {
            let label = match (entry.number, is_deleted) {
                (ROOT, _) => ".".to_owned(),
                (number, _) if is_system => format!("(file system)/inode {number}"),
                (number, true) => format!("(deleted)/inode {number}"),
                (number, false) => format!("(no name)/inode {number}"),
            };
            paths = vec![label.into_bytes()];
            if !is_system && !is_deleted {
                if entry.is_proven {
                    notes.push("no name of it is left; its inode's checksum holds".to_owned());
                } else {
                    doubts.push("neither a name nor a checksum speaks for its inode".to_owned());
                }
            }
        } else if !self.kinds_agree(entry) {
            doubts.push("its folder says that it is of another kind".to_owned());
        }
        if entry.is_free && entry.is_live {
            doubts.push("the volume's bitmap calls its inode free".to_owned());
        }
        if self.contested.contains(&entry.number) {
            doubts.push("another file claims the same blocks".to_owned());
        }
        let lies_outside = |reach: &RangeInclusive<u64>| {
            let mut clusters = bytes.clusters();
            clusters.any(|(first, count)| {
                first < *reach.start() || first.saturating_add(count) > reach.end() + 1
            })
        };
        if self.reach.as_ref().is_some_and(lies_outside) {
            doubts.push(ELSEWHERE.to_owned());
        }
        let waits = bytes.clusters().any(|(first, count)| self.base.is_waiting(first, count));
        if waits && inode.kind != InodeKind::Folder {
            doubts.push("newer bytes of it wait in the journal".to_owned());
        }
        let is_secret = inode.has(inode_flags::ENCRYPTED);
        if is_secret {
            notes.push("encrypted by its owner".to_owned());
        }
        let is_packed = inode.has(inode_flags::COMPRESSED | inode_flags::EA_INODE);
        if is_packed && !is_system {
            notes.push("its content is packed in a way that is not read".to_owned());
        }
        let mut file = GuestFile {
            volume: self.volume.number,
            record_number: u64::from(entry.number),
            sequence: 0,
            record_at: Some(entry.at),
            path: paths.remove(0),
            links: paths,
            size: inode.size,
            is_folder: inode.kind == InodeKind::Folder,
            is_deleted,
            is_system,
            is_withheld: is_secret || is_packed,
            record: RecordFact::Ok,
            extents: Extents::Unknown,
            content: Content::Untested,
            verdict: Verdict::Undetermined,
            tally: Tally::default(),
            kind: String::new(),
            reparse: None,
            times: inode.times,
            places: Vec::new(),
            holes: Vec::new(),
            doubts,
            notes,
        };
        let (mut file, stream) = match inode.kind {
            InodeKind::File => {
                against(self.ground, self.bitmap.as_ref(), &bytes, &mut file);
                if test && !is_system {
                    tested(self.ground, &bytes, &mut file);
                } else {
                    file.kind = kind_by_name(&file.path, false);
                }
                settle(&mut file);
                (file, Some(bytes))
            }
            InodeKind::Folder => {
                file.kind = "folder".to_owned();
                file.size = 0;
                file.extents = Extents::Resident;
                settle(&mut file);
                (file, None)
            }
            InodeKind::Link => {
                self.link(&bytes, &inode, &mut file);
                (file, None)
            }
            InodeKind::Special | InodeKind::Free => {
                file.kind = "special".to_owned();
                file.size = 0;
                file.extents = Extents::Resident;
                settle(&mut file);
                (file, None)
            }
        };
        if let Some(why) = &self.mistrust {
            file.distrust(why);
        }
        Some((file, stream))
    }

    /// A symbolic link: named with its target, never followed and never written.
    fn link(&self, bytes: &Stream, inode: &Inode, file: &mut GuestFile) {
        against(self.ground, self.bitmap.as_ref(), bytes, file);
        file.kind = "symbolic link".to_owned();
        let is_there = matches!(file.extents, Extents::Intact | Extents::Resident);
        if is_there && inode.size <= LONGEST_TARGET && !file.is_withheld {
            let mut target = vec![0; usize::try_from(inode.size).unwrap_or(0)];
            let reader = StreamReader::new(self.ground, bytes);
            if reader.read_exact_at(&mut target, ByteOffset(0)).is_ok() {
                file.notes.push(format!("leads to {}", String::from_utf8_lossy(&target)));
            }
        }
        settle(file);
    }

    fn kinds_agree(&self, entry: &Entry) -> bool {
        self.names.of(u64::from(entry.number)).iter().all(|name| {
            matches!(
                (name.kind, entry.kind),
                (EntryKind::Unknown, _)
                    | (EntryKind::File, InodeKind::File)
                    | (EntryKind::Folder, InodeKind::Folder)
                    | (EntryKind::Link, InodeKind::Link)
                    | (EntryKind::Special, InodeKind::Special)
            )
        })
    }

    fn claims(&self) -> Claims {
        let mut claims = Claims::default();
        for group in self.inodes.groups.iter().flatten() {
            let table = (group.group.inode_table, self.base.table_blocks());
            let bitmaps = [(group.group.block_bitmap, 1), (group.group.inode_bitmap, 1)];
            for (first, blocks) in bitmaps.into_iter().chain([table]) {
                let _kept = claims.add(OWN, first, blocks);
            }
        }
        for batch in self.inodes.entries.chunks(BATCH * 16) {
            let found: Vec<(u32, Vec<(u64, u64)>)> = batch
                .par_iter()
                .filter(|entry| entry.is_live)
                // Blocks set aside for descriptors to come are listed there, and overlap by rule.
                .filter(|entry| !self.is_system(entry.number) || entry.number == ROOT)
                .filter_map(|entry| {
                    let inode = read_inode(&self.base, entry.at)?;
                    let stream = stream(&self.base, entry.number, &inode);
                    Some((entry.number, stream.clusters().collect()))
                })
                .collect();
            claims.add_all(found);
        }
        claims
    }

    /// Tests the map by files that carry checksums over all of their bytes.
    fn test_map(&self) -> Option<String> {
        let is_provable = |entry: &&Entry| {
            entry.is_live && entry.kind == InodeKind::File && {
                let names = self.names.of(u64::from(entry.number));
                names.iter().any(|name| content::is_provable(self.names.text(name)))
            }
        };
        let all: Vec<&Entry> = self.inodes.entries.iter().filter(is_provable).collect();
        let step = all.len().div_ceil(MOST_TRIALS).max(1);
        let trials: Vec<&Entry> = all.into_iter().step_by(step).collect();
        let told: Vec<(bool, bool)> = trials
            .into_par_iter()
            .filter_map(|entry| {
                let inode = read_inode(&self.base, entry.at)?;
                if inode.size > LARGEST_TRIAL {
                    return None;
                }
                let name =
                    self.names.text(self.names.of(u64::from(entry.number)).first()?).to_vec();
                let (file, _) = self.file(entry, vec![name], true)?;
                Some((file.content == Content::Proven, file.is_map_alarm()))
            })
            .collect();
        blindness(&told)
    }

    /// A name whose inode is gone.
    fn lost(&self, name: &Name, path: Vec<u8>) -> GuestFile {
        let size = self.base.shape.inode_bytes;
        let place = self.inodes.place_of(&self.base, child(name));
        // Where the inode's place can be read and holds none, it was given up before the attack.
        let is_readable = place.is_some_and(|at| self.ground.is_good(at..at.saturating_add(size)));
        let is_folder = name.kind == EntryKind::Folder;
        GuestFile {
            is_deleted: is_readable,
            is_system: self.is_system(child(name)),
            ..GuestFile::without_inode(self.volume.number, name.child, path, is_folder)
        }
    }
}
