//! Redeploy against the real simulator, through a proxy that breaks things.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]
#![allow(unreachable_pub, reason = "a test of several files")]
#![allow(clippy::print_stdout, reason = "a check that is skipped says so")]

mod bench;
mod changed;
mod contact;
mod datastore;
mod faults;
mod golden;
mod input;
mod proxy;
mod shown;
mod sim;
mod sources;
mod whole;
