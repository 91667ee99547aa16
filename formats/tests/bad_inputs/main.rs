//! The counter of bad inputs: every case has a name and the exact words that it is answered with.
//!
//! The words stand in `snapshots/`, one file a format. A case is answered in one of these ways:
//! `right` (the values are those of the whole file), `right as far as it goes`, a named defect,
//! or `refused`. A wrong value that no defect tells fails the test whatever the snapshot says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod archive;
mod checkpoint;
mod dictionary;
mod extent;
mod firmware;
mod guest;
mod host;
mod machine;
mod sealed;
mod table;

use table::Table;

/// Fewer than this and somebody has thrown cases away.
const AT_LEAST: usize = 3000;

fn all() -> Vec<Table> {
    let mut tables = Vec::new();
    tables.extend(dictionary::tables());
    tables.extend(machine::tables());
    tables.extend(firmware::tables());
    tables.extend(checkpoint::tables());
    tables.extend(archive::tables());
    tables.extend(host::tables());
    tables.extend(sealed::tables());
    tables.extend(extent::tables());
    tables.extend(guest::tables());
    tables
}

#[test]
fn every_bad_input_is_answered_in_its_exact_words() {
    let (mut count, mut problems) = (0, Vec::new());
    for table in all() {
        problems.extend(table.problems());
        eprintln!("{:>5} {}", table.len(), table.format());
        count += table.len();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(table.format(), table.text());
        });
    }
    eprintln!("{count:>5} bad inputs");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count >= AT_LEAST, "{count} bad inputs are fewer than {AT_LEAST}");
}
