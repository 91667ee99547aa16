//! `vmglean map`: what it says of disks whose truth is known, of hostile ones, and how its
//! outputs agree with the tools they are made for.

mod bad;
mod clean;
mod make;
mod outputs;
mod said;
