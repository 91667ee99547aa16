//! Hashes of the whole source, made while it is measured.

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{
    Sha256,
    digest::{
        Digest,
        common::hazmat::{SerializableState, SerializedState},
    },
};

use super::tree::Blake3Tree;

/// Which hashes to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HashKinds {
    /// MD5, as case systems index by it.
    pub md5: bool,
    /// SHA-1, for the same reason.
    pub sha1: bool,
    /// SHA-256.
    pub sha256: bool,
    /// BLAKE3.
    pub blake3: bool,
}

impl HashKinds {
    /// Whether none is asked for.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The kinds asked for, dearest first.
    pub(super) fn list(self) -> Vec<HashKind> {
        [
            (self.md5, HashKind::Md5),
            (self.sha256, HashKind::Sha256),
            (self.sha1, HashKind::Sha1),
            (self.blake3, HashKind::Blake3),
        ]
        .into_iter()
        .filter_map(|(asked, kind)| asked.then_some(kind))
        .collect()
    }
}

/// Hash values, those that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// MD5.
    pub md5: Option<[u8; 16]>,
    /// SHA-1.
    pub sha1: Option<[u8; 20]>,
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// BLAKE3.
    pub blake3: Option<[u8; 32]>,
}

impl Digests {
    /// Takes over what `other` has.
    pub(super) fn merge(&mut self, other: Self) {
        self.md5 = self.md5.or(other.md5);
        self.sha1 = self.sha1.or(other.sha1);
        self.sha256 = self.sha256.or(other.sha256);
        self.blake3 = self.blake3.or(other.blake3);
    }
}

/// One of the hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum HashKind {
    Md5,
    Sha1,
    Sha256,
    Blake3,
}

impl HashKind {
    /// Time for a byte against the others, in hundredths; see `docs/performance.md`.
    pub(super) fn cost(self) -> u32 {
        match self {
            Self::Md5 => 166,
            Self::Sha1 => 53,
            Self::Sha256 => 55,
            Self::Blake3 => 14,
        }
    }
}

/// The state of one hash between two windows, to go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HashState {
    pub(super) kind: HashKind,
    pub(super) state: String,
}

/// One running hash.
pub(super) enum Hasher {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Blake3(Box<Blake3Tree>),
}

impl Hasher {
    pub(super) fn new(kind: HashKind) -> Self {
        match kind {
            HashKind::Md5 => Self::Md5(Md5::new()),
            HashKind::Sha1 => Self::Sha1(Sha1::new()),
            HashKind::Sha256 => Self::Sha256(Sha256::new()),
            HashKind::Blake3 => Self::Blake3(Box::default()),
        }
    }

    /// One for each kind asked for, at the start.
    pub(super) fn all(kinds: HashKinds) -> Vec<Self> {
        kinds.list().into_iter().map(Self::new).collect()
    }

    pub(super) fn kind(&self) -> HashKind {
        match self {
            Self::Md5(_) => HashKind::Md5,
            Self::Sha1(_) => HashKind::Sha1,
            Self::Sha256(_) => HashKind::Sha256,
            Self::Blake3(_) => HashKind::Blake3,
        }
    }

    /// Goes on from a state; `None` where it is none.
    pub(super) fn restore(state: &HashState) -> Option<Self> {
        let bytes = hex::decode(&state.state).ok()?;
        Some(match state.kind {
            HashKind::Md5 => Self::Md5(restored(&bytes)?),
            HashKind::Sha1 => Self::Sha1(restored(&bytes)?),
            HashKind::Sha256 => Self::Sha256(restored(&bytes)?),
            HashKind::Blake3 => Self::Blake3(Box::new(Blake3Tree::restore(&bytes)?)),
        })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(hash) => hash.update(bytes),
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
            Self::Blake3(hash) => hash.update(bytes),
        }
    }

    /// Takes a hole as the zeros it reads as.
    pub(super) fn update_zeros(&mut self, mut count: u64) {
        static ZEROS: [u8; 65_536] = [0; 65_536];
        while count > 0 {
            let take = usize::try_from(count).map_or(ZEROS.len(), |count| count.min(ZEROS.len()));
            self.update(ZEROS.get(..take).unwrap_or(&ZEROS));
            count -= take as u64;
        }
    }

    /// The state between two windows, where at least one byte more will follow.
    pub(super) fn state(&mut self) -> HashState {
        let bytes = match self {
            Self::Md5(hash) => hash.serialize().to_vec(),
            Self::Sha1(hash) => hash.serialize().to_vec(),
            Self::Sha256(hash) => hash.serialize().to_vec(),
            Self::Blake3(hash) => hash.state(),
        };
        HashState { kind: self.kind(), state: hex::encode(bytes) }
    }

    pub(super) fn finish(self) -> Digests {
        let mut digests = Digests::default();
        match self {
            Self::Md5(hash) => digests.md5 = Some(hash.finalize().into()),
            Self::Sha1(hash) => digests.sha1 = Some(hash.finalize().into()),
            Self::Sha256(hash) => digests.sha256 = Some(hash.finalize().into()),
            Self::Blake3(hash) => digests.blake3 = hash.finish(),
        }
        digests
    }
}

fn restored<T: SerializableState>(bytes: &[u8]) -> Option<T> {
    T::deserialize(&SerializedState::<T>::try_from(bytes).ok()?).ok()
}
