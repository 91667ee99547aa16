//! Chains of disks, made by qemu-img and the forge, told and made one by the program.

mod chain;
mod consolidate;
mod faults;
mod make;
mod traps;
