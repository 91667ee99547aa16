//! From what is left of a machine to what can start elsewhere: its configuration rebuilt line by
//! line from every file that repeats it, with the place each line was read from.

pub mod config;
