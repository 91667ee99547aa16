//! Chains of disks, made by qemu-img and the forge, told and made one by the program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::ptr_arg,
    dead_code,
    reason = "a test's helpers fail as the test does, and tell what they measured"
)]

mod chain;
mod consolidate;
mod depth;
mod encrypted;
mod faults;
mod make;
mod room;
mod traps;
mod wiped;
