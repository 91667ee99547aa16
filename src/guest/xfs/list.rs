//! All files of a volume, one after another, with their verdicts.

use std::{
    collections::HashSet,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use rayon::prelude::*;
use vmglean_formats::xfs::{EntryKind, Inode, InodeKind};

use super::{
    base::Base,
    hits::VolumeHits,
    inodes::{Entry, Inodes},
    log::{self, Log, Touched},
    made::Made,
    map::{extents, stream},
    names,
    pieces::Pieces,
};
use crate::guest::{
    Content, Extents, Ground, GuestFile, RecordFact, Sink, Stream, Tally, Verdict,
    claims::Claims,
    content,
    judge::{Judged, against, blindness, kind_by_name, settle, tested},
    names::{Name, Names, Tree},
    scan::Hits,
    volumes::{Volume, VolumeKind},
};

/// Files judged together.
const BATCH: usize = 512;
/// Files by which the map is tested, and how large they may be.
const MOST_TRIALS: usize = 2048;
const LARGEST_TRIAL: u64 = 4 << 20;
/// Groups whose heads are compared with what files claim.
const MOST_GROUPS: u64 = 1 << 20;
/// Owner of what belongs to the file system, among claims.
const OWN: u32 = 0;

/// The files of one XFS volume.
pub struct XfsFiles<'a> {
    ground: &'a Ground<'a>,
    volume: &'a Volume,
    base: Base<'a>,
    inodes: Inodes,
    names: Names,
    root: Option<u64>,
    contested: HashSet<u32>,
    touched: Touched,
    mistrust: Option<String>,
    lost_names: usize,
    rests_on: String,
}

impl<'a> XfsFiles<'a> {
    /// Reads the volume's inodes and folders; `None` where it is no XFS volume.
    #[must_use]
    pub fn open(ground: &'a Ground<'a>, hits: &'a Hits, volume: &'a Volume) -> Option<Self> {
        let VolumeKind::Xfs(geometry) = volume.kind else { return None };
        let shape = geometry.shape;
        let own: &VolumeHits = hits.xfs.of(&shape.uuid)?;
        let pieces = Pieces::new(volume.start, geometry.is_contiguous, &shape, own);
        let seen = pieces.count();
        let base = Base::new(ground, volume.start, shape, pieces);
        let made = Made::read(&base, own);
        let mut inodes = Inodes::read(&base, own, &made);
        let (names, root) = names::read(&base, &inodes, own, &made);
        if !made.is_whole(&base) {
            inodes.follow(&names, root, shape.chunk_inodes);
        }
        let lost_names =
            names.all().iter().filter(|name| inodes.find(name.child).is_none()).count();
        let mut rests_on = format!("trees of inodes of {} of {} groups", made.whole, shape.groups);
        if seen > 1 {
            rests_on.push_str(&format!(", {seen} pieces"));
        }
        let mut this = Self {
            ground,
            volume,
            base,
            inodes,
            names,
            root,
            contested: HashSet::new(),
            touched: Touched::default(),
            mistrust: None,
            lost_names,
            rests_on,
        };
        this.contested = this.claims().contested();
        let unread = shape.unread_feature();
        let doubt = match log::log(&this.base, &hits.xfs) {
            Log::Clean => None,
            Log::Doubt(why) => Some(why.to_owned()),
            Log::Waiting(changes) => {
                this.touched = Touched::new(&this.base, changes);
                let count = this.touched.count();
                this.rests_on.push_str(&format!(", changes of {count} inodes wait in the log"));
                None
            }
        };
        this.mistrust = unread
            .map(|what| format!("the volume has {what}: what is read may be wrong"))
            .or(doubt)
            .or_else(|| this.test_map());
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

    /// What is known of the inodes in use.
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
        let mut tree = Tree::new(&self.names, self.root);
        for batch in self.inodes.entries.chunks(BATCH) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let named: Vec<(&Entry, Vec<Vec<u8>>)> =
                batch.iter().map(|entry| (entry, tree.paths(entry.number))).collect();
            let judged: Vec<Judged> = named
                .into_par_iter()
                .filter_map(|(entry, paths)| self.file(entry, paths, test))
                .collect();
            for (file, stream) in judged {
                sink(file, stream)?;
            }
        }
        for name in self.names.all() {
            if self.inodes.find(name.child).is_none() {
                sink(self.lost(name, tree.join(name)), None)?;
            }
        }
        Ok(())
    }

    /// Whether an inode without a name is the file system's own.
    fn is_own(&self, entry: &Entry, inode: &Inode) -> bool {
        if self.base.shape.own.contains(&entry.number) {
            return true;
        }
        // Without the first superblock: those of the real-time section stand behind the root.
        let lot = self.root.or(self.inodes.entries.first().map(|first| first.number / 64 * 64));
        self.base.shape.own == [0; 5]
            && inode.size == 0
            && lot.is_some_and(|root| (1..3).contains(&entry.number.wrapping_sub(root)))
    }

    fn file(&self, entry: &Entry, mut paths: Vec<Vec<u8>>, test: bool) -> Option<Judged> {
        let inode = self.base.inode(entry.at)?;
        let bytes = stream(&self.base, &inode);
        let is_deleted = !entry.is_live;
        if is_deleted && (inode.kind == InodeKind::Folder || !bytes.has_clusters()) {
            // What it held is forgotten.
            return None;
        }
        let is_root = self.root == Some(entry.number);
        let is_system = is_root || (paths.is_empty() && self.is_own(entry, &inode));
        let mut doubts = Vec::new();
        let mut notes = Vec::new();
        // Names that still lead to a deleted inode are of whoever had the number before.
        if is_deleted || paths.is_empty() || is_root {
            let number = entry.number;
            let label = match is_deleted {
                _ if is_root => ".".to_owned(),
                _ if is_system => format!("(file system)/inode {number}"),
                true => format!("(deleted)/inode {number}"),
                false => format!("(no name)/inode {number}"),
            };
            paths = vec![label.into_bytes()];
            if !is_system && !is_deleted {
                notes.push("no name of it is left; its inode's checksum holds".to_owned());
            }
        } else if !self.kinds_agree(entry) {
            doubts.push("its folder says that it is of another kind".to_owned());
        }
        if !is_deleted && !entry.is_vouched {
            doubts.push("nothing that is left says whether its inode is still in use".to_owned());
        }
        if is_deleted && inode.links > 0 {
            doubts.push("its group's tree of inodes calls its inode free".to_owned());
        }
        if self.owner(entry).is_some_and(|owner| self.contested.contains(&owner)) {
            doubts.push("another file claims the same blocks".to_owned());
        }
        if self.touched.count() > 0
            && self.touched.has(&self.base, entry.number, &extents(&self.base, &inode).tree)
        {
            doubts.push("newer changes of it wait in the log, which are not made".to_owned());
        }
        let mut file = GuestFile {
            volume: self.volume.number,
            record_number: entry.number,
            sequence: 0,
            record_at: Some(entry.at),
            path: paths.remove(0),
            links: paths,
            size: inode.size,
            is_folder: inode.kind == InodeKind::Folder,
            is_deleted,
            is_system,
            is_withheld: false,
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
                against(self.ground, None, &bytes, &mut file);
                if test && !is_system {
                    tested(self.ground, &bytes, &mut file);
                } else {
                    file.kind = kind_by_name(&file.path, false);
                }
                settle(&mut file);
                (file, Some(bytes))
            }
            InodeKind::Link => {
                link(&bytes, &mut file);
                (file, None)
            }
            InodeKind::Folder | InodeKind::Special | InodeKind::Free => {
                let is_folder = inode.kind == InodeKind::Folder;
                file.kind = if is_folder { "folder" } else { "special" }.to_owned();
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

    fn kinds_agree(&self, entry: &Entry) -> bool {
        self.names.of(entry.number).iter().all(|name| {
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

    /// Number of an inode among claims: its place in the list.
    fn owner(&self, entry: &Entry) -> Option<u32> {
        let at = self.inodes.entries.partition_point(|other| other.number < entry.number);
        u32::try_from(at).ok()?.checked_add(1)
    }

    /// Clusters of the disk that blocks of the volume take.
    fn clusters(&self, block: u64, count: u64) -> Option<(u64, u64)> {
        let each = self.base.shape.block_bytes.max(1);
        let (_, place) = self.base.place(block, count)?;
        Some((place.at().checked_sub(self.base.start % each)? / each, count))
    }

    fn claims(&self) -> Claims {
        let mut claims = Claims::default();
        let shape = &self.base.shape;
        let heads = (shape.sector_bytes * 4).div_ceil(shape.block_bytes.max(1));
        let firsts = (0..shape.groups.min(MOST_GROUPS))
            .filter_map(|group| group.checked_shl(shape.group_blocks_log))
            .map(|first| (first, heads));
        for (first, count) in firsts.chain(log::blocks(&self.base)) {
            if let Some((first, count)) = self.clusters(first, count) {
                let _kept = claims.add(OWN, first, count);
            }
        }
        for batch in self.inodes.entries.chunks(BATCH * 16) {
            let found: Vec<(u32, Vec<(u64, u64)>)> = batch
                .par_iter()
                .filter(|entry| entry.is_live)
                .filter_map(|entry| {
                    let inode = self.base.inode(entry.at)?;
                    // Files that share blocks say so.
                    if inode.is_shared {
                        return None;
                    }
                    let bytes = stream(&self.base, &inode);
                    let tree = extents(&self.base, &inode).tree;
                    let tree = tree.into_iter().filter_map(|block| self.clusters(block, 1));
                    Some((self.owner(entry)?, bytes.clusters().chain(tree).collect()))
                })
                .collect();
            claims.add_all(found);
        }
        claims
    }

    /// Tests the map by files that carry checksums over all of their bytes.
    fn test_map(&self) -> Option<String> {
        let is_provable = |entry: &&Entry| {
            entry.is_live && entry.is_vouched && entry.kind == InodeKind::File && {
                let names = self.names.of(entry.number);
                names.iter().any(|name| content::is_provable(self.names.text(name)))
            }
        };
        let all: Vec<&Entry> = self.inodes.entries.iter().filter(is_provable).collect();
        let step = all.len().div_ceil(MOST_TRIALS).max(1);
        let trials: Vec<&Entry> = all.into_iter().step_by(step).collect();
        let told: Vec<(bool, bool)> = trials
            .into_par_iter()
            .filter_map(|entry| {
                if self.base.inode(entry.at)?.size > LARGEST_TRIAL {
                    return None;
                }
                let name = self.names.text(self.names.of(entry.number).first()?).to_vec();
                let (file, _) = self.file(entry, vec![name], true)?;
                Some((file.content == Content::Proven, file.is_map_alarm()))
            })
            .collect();
        blindness(&told)
    }

    /// A name whose inode is gone.
    fn lost(&self, name: &Name, path: Vec<u8>) -> GuestFile {
        let size = self.base.shape.inode_bytes;
        let place = self.base.inode_at(name.child).map(|place| place.at());
        // Where the inode's place can be read and holds none, it was given up before the attack.
        let is_readable = place.is_some_and(|at| self.ground.is_good(at..at.saturating_add(size)));
        let is_folder = name.kind == EntryKind::Folder;
        GuestFile {
            is_deleted: is_readable,
            ..GuestFile::without_inode(self.volume.number, name.child, path, is_folder)
        }
    }
}

/// A symbolic link: named with its target, never followed and never written.
fn link(bytes: &Stream, file: &mut GuestFile) {
    file.kind = "symbolic link".to_owned();
    file.doubts.extend(bytes.defects.iter().cloned());
    if let Some(target) = &bytes.resident {
        file.extents = Extents::Resident;
        file.tally.good = bytes.size;
        file.notes.push(format!("leads to {}", String::from_utf8_lossy(target)));
    }
    settle(file);
}
