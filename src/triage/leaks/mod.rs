//! Keyless leak checks.
