//! The only code that prints.

use std::io::Write as _;

/// Prints an error to stderr.
pub fn error(text: &str) {
    // Nothing is left to tell where stderr itself is gone.
    let _gone = writeln!(anstream::stderr(), "vmglean: {text}");
}
