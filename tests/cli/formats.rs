//! One sweep in every form that it can be written in.

use std::{fs, path::Path};

use serde_json::Value;

use crate::run::{Done, folder, samples, vmglean};

fn sweep(place: &Path, more: &[&str]) -> Done {
    let estate = samples();
    let args = [&["sweep", "--reproducible"], more, &[estate.to_str().unwrap()]].concat();
    vmglean(place, &args)
}

#[test]
fn every_form_has_the_same_bytes_however_many_threads_work() {
    let place = folder();
    for form in [&["--json"][..], &["--jsonl"], &["--all"], &[]] {
        let one = sweep(place.path(), &[form, &["--jobs", "1"]].concat());
        assert_eq!(one.code, Some(1));
        for jobs in ["2", "8"] {
            let more = sweep(place.path(), &[form, &["--jobs", jobs]].concat());
            assert!(more == one, "{form:?} differs with --jobs {jobs}");
        }
    }
    let pages: Vec<Vec<u8>> = ["1", "2", "8"]
        .map(|jobs| {
            let page = format!("page-{jobs}.html");
            sweep(place.path(), &["--html", &page, "--jobs", jobs]);
            fs::read(place.path().join(page)).unwrap()
        })
        .into();
    assert!(pages[0] == pages[1] && pages[0] == pages[2]);
}

#[test]
fn lines_hold_what_the_document_holds_and_the_last_one_counts_them() {
    let place = folder();
    let document = sweep(place.path(), &["--json"]).json();
    let text = sweep(place.path(), &["--jsonl"]).text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["record"], "schema");
    assert_eq!(lines[0]["schema"], "vmglean.sweep/1");
    let last = lines.last().unwrap();
    assert_eq!(last["record"], "complete");
    assert_eq!(last["lines"], lines.len() - 1);
    assert!(text.ends_with('\n'));
    for (list, record) in [
        ("sources", "source"),
        ("machines", "machine"),
        ("orphans", "orphan"),
        ("notes", "note"),
        ("families", "family"),
        ("unreadable", "unreadable"),
    ] {
        let of: Vec<Value> = lines
            .iter()
            .filter(|line| line["record"] == record)
            .map(|line| {
                let mut line = line.clone();
                line.as_object_mut().unwrap().remove("record");
                line
            })
            .collect();
        assert_eq!(&of, document[list].as_array().unwrap(), "{list}");
    }
}

#[test]
fn a_record_cut_short_is_refused_and_a_whole_one_gives_the_same_text_again() {
    let place = folder();
    let direct = sweep(place.path(), &["--all"]);
    for (form, name) in [("--json", "record.json"), ("--jsonl", "record.jsonl")] {
        let record = sweep(place.path(), &[form]);
        fs::write(place.path().join(name), &record.out).unwrap();
        let again = vmglean(place.path(), &["report", "--all", name]);
        assert_eq!(again.text(), direct.text(), "{name}");
        let half = &record.out[..record.out.len() / 2];
        fs::write(place.path().join("cut"), half).unwrap();
        let cut = vmglean(place.path(), &["report", "cut"]);
        assert!(cut.code != Some(0) && cut.out.is_empty(), "{name}: {cut:?}");
    }
}

#[test]
fn the_page_names_every_machine_and_needs_nothing_from_elsewhere() {
    let place = folder();
    assert_eq!(sweep(place.path(), &["--html", "page.html"]).code, Some(1));
    let page = fs::read_to_string(place.path().join("page.html")).unwrap();
    for machine in sweep(place.path(), &["--json"]).json()["machines"].as_array().unwrap() {
        assert!(page.contains(machine["name"].as_str().unwrap()), "{machine}");
    }
    for outside in ["src=\"http", "href=\"http", "url(http", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn text_fits_its_columns_and_carries_no_colour_into_a_pipe() {
    let place = folder();
    let text = sweep(place.path(), &["--all"]).text();
    assert!(!text.contains('\u{1b}'));
    for line in text.lines().filter(|line| !line.trim_start().starts_with('$')) {
        assert!(line.chars().count() <= 100, "{}: {line}", line.chars().count());
    }
}

#[test]
fn nothing_that_is_there_is_overwritten_unasked() {
    let place = folder();
    let page = place.path().join("page.html");
    fs::write(&page, "mine").unwrap();
    let done = sweep(place.path(), &["--html", "page.html"]);
    assert_eq!(done.code, Some(4));
    assert_eq!(done.err, "vmglean: page.html is there already; --overwrite replaces it\n");
    assert_eq!(fs::read_to_string(&page).unwrap(), "mine");
    let done = sweep(place.path(), &["--html", "page.html", "--overwrite"]);
    assert_eq!(done.code, Some(1));
    assert_eq!(done.err, "wrote page.html\n");
    assert!(fs::read_to_string(&page).unwrap().starts_with("<!DOCTYPE html>"));
    // No half-written file stays behind under another name.
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn progress_goes_to_standard_error_and_only_when_asked_for() {
    let place = folder();
    let quiet = sweep(place.path(), &["--json"]);
    assert_eq!(quiet.err, "");
    let told = sweep(place.path(), &["--json", "--progress", "json"]);
    assert_eq!(told.out, quiet.out);
    for line in told.err.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["done_bytes"].is_u64(), "{line}");
    }
    assert!(!told.err.is_empty());
}
