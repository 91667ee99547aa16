//! Structures that prove themselves.
