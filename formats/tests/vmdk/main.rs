//! VMDK readers against the forge's truth, real files, and qemu-img as a second reader.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod bad_input;
mod corpus;
mod descriptor;
mod forged;
mod hostile;
mod property;
mod qemu;
mod reading;
mod torture;
