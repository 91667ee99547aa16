//! The closed lists of words a descriptor uses, in any case.

use serde::Serialize;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $first:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
            /// A word nobody documented; the raw word is kept beside it.
            Unknown,
        }

        impl $name {
            /// What this word means; upper and lower case are the same.
            #[must_use]
            pub fn from_word(word: &str) -> Self {
                $(if word.eq_ignore_ascii_case($first) $(|| word.eq_ignore_ascii_case($alias))* {
                    return Self::$variant;
                })+
                Self::Unknown
            }

            /// The word as VMware writes it, or `None` for [`Self::Unknown`].
            #[must_use]
            pub fn word(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($first),)+
                    Self::Unknown => None,
                }
            }

            /// Every documented word.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    };
}

words! {
    /// How an extent may be used.
    Access {
        /// `RW`
        ReadWrite = "RW",
        /// `RDONLY`
        ReadOnly = "RDONLY",
        /// `NOACCESS`: reads as zeros.
        NoAccess = "NOACCESS",
    }
}

words! {
    /// What lies behind an extent line.
    ExtentKind {
        /// Plain bytes in a file or device, from an offset.
        Flat = "FLAT",
        /// A hosted sparse extent (magic `KDMV`), streamOptimized ones included.
        Sparse = "SPARSE",
        /// No file: zeros.
        Zero = "ZERO",
        /// Plain bytes in a file of an ESXi datastore.
        Vmfs = "VMFS",
        /// An ESXi redo log (magic `COWD`).
        VmfsSparse = "VMFSSPARSE",
        /// A space-efficient sparse delta (magic `0xCAFEBABE`).
        SeSparse = "SESPARSE",
        /// A raw device mapping; its file holds no data.
        VmfsRdm = "VMFSRDM",
        /// A raw device of an ESXi host.
        VmfsRaw = "VMFSRAW",
    }
}

words! {
    /// The layout a descriptor claims for the whole disk.
    CreateType {
        /// One sparse file with its descriptor inside.
        MonolithicSparse = "monolithicSparse",
        /// A descriptor and one flat file.
        MonolithicFlat = "monolithicFlat",
        /// Sparse files of 2 to 4 GiB.
        TwoGbMaxExtentSparse = "twoGbMaxExtentSparse" | "2GbMaxExtentSparse",
        /// Flat files of 2 GiB.
        TwoGbMaxExtentFlat = "twoGbMaxExtentFlat" | "2GbMaxExtentFlat",
        /// One compressed file, as in an OVF.
        StreamOptimized = "streamOptimized",
        /// A whole physical disk.
        FullDevice = "fullDevice",
        /// Some partitions of a physical disk.
        PartitionedDevice = "partitionedDevice",
        /// Any list of extents.
        Custom = "custom",
        /// The usual one on ESXi: one flat file, thick or thin.
        Vmfs = "vmfs",
        /// ESXi thick, lazily zeroed.
        VmfsPreallocated = "vmfsPreallocated",
        /// ESXi thick, zeroed at creation.
        VmfsEagerZeroedThick = "vmfsEagerZeroedThick" | "eagerZeroedThick",
        /// ESXi thin.
        VmfsThin = "vmfsThin" | "thin",
        /// ESXi thick.
        VmfsThick = "vmfsThick" | "thick",
        /// An ESXi redo log.
        VmfsSparse = "vmfsSparse",
        /// A space-efficient sparse delta.
        SeSparse = "seSparse" | "vmfsSeSparse",
        /// A virtual-mode raw device mapping.
        VmfsRawDeviceMap = "vmfsRawDeviceMap" | "vmfsRDM",
        /// A physical-mode raw device mapping.
        VmfsPassthroughRawDeviceMap = "vmfsPassthroughRawDeviceMap" | "vmfsRDMP",
        /// A raw device.
        VmfsRaw = "vmfsRaw",
    }
}
