//! `vmglean map`: what it says of disks whose truth is known, of hostile ones, and how its
//! outputs agree with the tools they are made for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::ptr_arg,
    reason = "a test's helpers fail as the test does, and tell what they measured"
)]

mod bad;
mod clean;
mod lone;
mod make;
mod outputs;
mod pieces;
mod said;
mod swept;
