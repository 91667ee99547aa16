//! Each structure alone: forged bytes in, values and named defects out.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests count small numbers"
)]
