//! Files of one ext2, ext3 or ext4 volume, from the inodes in their tables.
//!
//! The volume is found by any copy of its superblock, the tables by any copy of their group's
//! descriptor. An inode that has a checksum is proven to be the one of that number on that
//! volume; without one, the map must vouch for it and a folder must name it.

mod base;
mod bitmaps;
mod headless;
mod inodes;
mod journal;
mod list;
mod map;
mod names;
mod reach;
mod volumes;

pub use list::ExtFiles;
pub(super) use volumes::{copies, volumes};
