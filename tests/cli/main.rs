//! The program end to end: what it says, how it ends, and what it leaves alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bad_input;
mod damage;
mod evidence;
mod exit_codes;
mod files;
mod formats;
mod lies;
mod pieces;
mod resume;
mod run;
mod small_files;
mod traps;
mod verdicts;
mod wiped;
