//! Writes VMware files byte by byte from the specification, damages them as lockers do, and
//! knows the truth it wrote. Shares no struct with the parsers under test, so that a shared
//! misreading shows.

pub mod corpus;
pub mod damage;
pub mod estate;
pub mod guest;
pub mod scale;
pub mod vm;
pub mod vmdk;
