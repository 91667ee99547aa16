//! Machines made again on clean hosts: a plan that a person reads, then the vSphere API.
//!
//! A [`plan`] is drafted from folders and archives, looked over by [`preflight`], and carried out
//! by [`apply`], whose [`journal`] makes a run that was cut go on where it stood.

pub mod apply;
pub mod config;
pub mod datastore;
pub mod estate;
pub mod journal;
pub mod plan;
pub mod preflight;
mod reach;
pub mod view;
pub mod vsphere;
