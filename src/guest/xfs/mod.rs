//! Files of one XFS volume of version 5, from inodes that prove themselves.
//!
//! Inodes, and blocks of folders and trees, carry the volume's number, their own number or place,
//! and a checksum over all of it: the scan finds them wherever they lie, and their places say
//! where the volume begins. Whether an inode is still in use stands in its group's tree of inodes,
//! or follows from a folder in use that names one of those made with it.

mod base;
mod headless;
mod hits;
mod inodes;
mod list;
mod log;
mod made;
mod map;
mod names;
mod pieces;
mod volumes;

pub use hits::XfsHits;
pub use list::XfsFiles;
pub use volumes::XfsGeometry;
pub(super) use volumes::volumes;
