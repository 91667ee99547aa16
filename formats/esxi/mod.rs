//! Host state of ESXi: which machines were registered, where, and who the host was.
//!
//! Files of `state.tgz`/`local.tgz` as seen on ESXi 7. Keys, password files and certificates of
//! that bundle are never read here.

mod conf;
mod hostd;
mod small;
#[cfg(test)]
mod tests;
mod vmtar;

pub use conf::{EsxConf, NasMount, PortGroup};
pub use hostd::{
    AutoStart, AutoStartEntry, InventoryEntry, PoolMember, ResourcePool, ResourcePools, VmInventory,
};
pub use small::{BackupCounter, LockerConf};
pub use vmtar::{Vmtar, VmtarMember};
