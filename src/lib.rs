//! vmglean: gleans what ransomware left of VMware virtual machines.
//!
//! Data flows one way: [`source`] → [`catalog`] → [`triage`] → [`consolidate`] → [`salvage`] →
//! report; [`sweep`] drives them for a whole datastore, [`inspect`] takes one file apart, [`chain`]
//! the disks under a leaf, and the [`commands`] are thin.

pub mod catalog;
pub mod chain;
pub mod cli;
pub mod commands;
pub mod consolidate;
pub mod disk;
pub mod families;
pub mod finding;
pub mod guest;
pub mod inspect;
pub mod interrupt;
pub mod map;
pub mod outcome;
pub mod redeploy;
pub mod report;
pub mod salvage;
pub mod source;
pub mod sweep;
pub mod triage;
pub mod ui;
