//! A sweep that is stopped, in whatever way and at whatever moment, goes on and ends with the
//! same bytes as one that was not.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::run::{Done, folder, samples, shimmed, vmglean};

/// `sweep` of the samples with `more`, its state in `state`.
fn args<'a>(estate: &'a str, state: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["sweep", "--json", "--reproducible", "--state", state], more, &[estate]].concat()
}

/// Runs of one sweep, and what an uninterrupted one answers.
struct Runs {
    place: TempDir,
    estate: String,
    whole: Vec<u8>,
}

impl Runs {
    fn new() -> Self {
        let estate = samples().to_str().unwrap().to_owned();
        let place = folder();
        let whole = vmglean(place.path(), &args(&estate, "whole", &[]));
        assert_eq!(whole.code, Some(1), "{}", whole.err);
        Self { place, estate, whole: whole.out }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn lines(&self, state: &str) -> usize {
        fs::read(self.path().join(state)).map_or(0, |text| text.split(|b| *b == b'\n').count() - 1)
    }

    fn stopped(&self, state: &str, more: &[&str], file: &str, at: u32, act: &str) -> Done {
        shimmed(self.path(), &args(&self.estate, state, more), file, at, act)
    }

    /// Runs it again without anything in its way.
    fn goes_on(&self, state: &str, what: &str) {
        let again = vmglean(self.path(), &args(&self.estate, state, &[]));
        assert_eq!(again.code, Some(1), "{what}: {}", again.err);
        assert!(again.out == self.whole, "{what}: ends with other bytes");
    }
}

#[test]
fn a_state_file_changes_nothing_in_the_answer() {
    let runs = Runs::new();
    let plain = vmglean(runs.path(), &["sweep", "--json", "--reproducible", runs.estate.as_str()]);
    assert!(plain.out == runs.whole);
    let disks = runs.lines("whole");
    assert!(disks > 15, "{disks} lines");
    // A second run over the finished state reads no disk again and adds nothing.
    runs.goes_on("whole", "a finished state");
    assert_eq!(runs.lines("whole"), disks);
}

#[test]
fn a_sweep_killed_at_any_read_goes_on_and_ends_with_the_same_bytes() {
    let runs = Runs::new();
    let mut kept = 0;
    for (n, at) in [1, 60, 150, 300, 600, 900].into_iter().enumerate() {
        let (state, jobs) = (format!("killed-{at}"), if n % 2 == 0 { "1" } else { "2" });
        let done = runs.stopped(&state, &["--jobs", jobs], "", at, "signal 9");
        assert_eq!(done.code, None, "read {at} was not reached: {done:?}");
        assert!(done.out.is_empty(), "nothing is told before all is judged");
        kept = kept.max(runs.lines(&state));
        runs.goes_on(&state, &format!("killed at read {at}"));
    }
    assert!(kept > 5, "no kill came late enough to keep anything: {kept}");
}

#[test]
fn a_sweep_killed_again_and_again_still_ends_with_the_same_bytes() {
    let runs = Runs::new();
    let mut kills = 0;
    // Each run comes further, because what was judged is not read again.
    for at in [200, 230, 260, 290, 320] {
        let done = runs.stopped("again", &["--jobs", "2"], "", at, "signal 9");
        kills += usize::from(done.code.is_none());
    }
    assert!(kills >= 2, "{kills}");
    runs.goes_on("again", "killed again and again");
}

#[test]
fn a_torn_last_line_is_judged_again_and_a_lost_file_is_no_harm() {
    let runs = Runs::new();
    let whole = fs::read(runs.path().join("whole")).unwrap();
    let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in [0, 5, head, head + 100, whole.len() / 2, whole.len() - 1] {
        fs::write(runs.path().join("torn"), &whole[..cut]).unwrap();
        runs.goes_on("torn", &format!("cut at {cut}"));
        assert_eq!(runs.lines("torn"), runs.lines("whole"), "cut at {cut}");
    }
}

#[test]
fn a_state_of_other_options_or_of_something_else_is_not_used_and_not_touched() {
    let runs = Runs::new();
    for (name, content) in [("letter", &b"Dear Sir,\nhow are you?\n"[..]), ("bytes", &[0xff; 99])] {
        fs::write(runs.path().join(name), content).unwrap();
        let done = vmglean(runs.path(), &args(&runs.estate, name, &[]));
        assert_eq!(done.code, Some(74), "{name}");
        let line = format!("vmglean: state file {name} was made by something else, this sweep is ");
        assert!(done.err.starts_with(&line), "{}", done.err);
        assert!(done.err.ends_with("name another file, or remove it\n"), "{}", done.err);
        assert_eq!(fs::read(runs.path().join(name)).unwrap(), content);
    }
    let other = vmglean(runs.path(), &args(&runs.estate, "whole", &["--samples", "9"]));
    assert_eq!(other.code, Some(74));
    assert!(other.err.contains("with 688 samples") && other.err.contains("with 9 samples"));
}

#[test]
fn a_disk_that_changed_since_is_judged_anew() {
    let root = folder();
    crate::run::sample_machine(root.path(), "web01");
    let place = folder();
    let state = place.path().join("state");
    let ran =
        || vmglean(root.path(), &["sweep", "--json", "--state", state.to_str().unwrap(), "."]);
    assert_eq!(ran().code, Some(0));
    let flat = root.path().join("web01/web01-flat.vmdk");
    let mut content = fs::read(&flat).unwrap();
    let damage = vmglean_forge::damage::Damage::plain(
        vmglean_forge::damage::Geometry::Head { bytes: 300_000 },
        5,
    );
    damage.apply(&mut content);
    fs::write(&flat, content).unwrap();
    let again = ran();
    assert_eq!(again.code, Some(1));
    assert_eq!(again.json()["machines"][0]["verdict"], "partly-encrypted");
}

#[test]
fn an_interrupted_sweep_says_what_it_left_out_and_goes_on() {
    let runs = Runs::new();
    for (signal, code) in [("signal 2", 130), ("signal 15", 143)] {
        let state = format!("stopped-{code}");
        let done = runs.stopped(&state, &["--jobs", "1"], "-flat.vmdk", 40, signal);
        assert_eq!(done.code, Some(code), "{}", done.err);
        let record = done.json();
        let finding = record["findings"].as_array().unwrap().iter();
        let stopped: Vec<_> = finding.filter(|f| f["code"] == "sweep.stopped").collect();
        assert_eq!(stopped.len(), 1, "{record:#}");
        assert_eq!(stopped[0]["next"], "run the same command again to go on");
        // What was not measured is never called untouched.
        for machine in record["machines"].as_array().unwrap() {
            for disk in machine["disks"].as_array().unwrap() {
                let (verdict, method) = (disk["verdict"].as_str(), disk["method"].as_str());
                assert!(verdict != Some("untouched") || method != Some("none"), "{machine:#}");
            }
        }
        runs.goes_on(&state, signal);
    }
}

#[test]
fn a_budget_that_runs_out_ends_with_75_and_the_next_run_goes_on() {
    let runs = Runs::new();
    let more = ["--jobs", "1", "--budget", "1s"];
    let done = runs.stopped("budget", &more, "-flat.vmdk", 1, "sleep 1200");
    assert_eq!(done.code, Some(75), "{}", done.err);
    let record = done.json();
    let stopped =
        record["findings"].as_array().unwrap().iter().find(|f| f["code"] == "sweep.stopped");
    let stopped = stopped.unwrap();
    assert!(
        stopped["what"].as_str().unwrap().ends_with("disk files were not measured: time was up")
    );
    runs.goes_on("budget", "a budget that ran out");
    // Without a state nothing is kept, and the record says so.
    let line = ["sweep", "--json", "--jobs", "1", "--budget", "1s", runs.estate.as_str()];
    let done = shimmed(runs.path(), &line, "-flat.vmdk", 1, "sleep 1200");
    assert_eq!(done.code, Some(75));
    let record = done.json();
    let stopped =
        record["findings"].as_array().unwrap().iter().find(|f| f["code"] == "sweep.stopped");
    assert_eq!(
        stopped.unwrap()["next"],
        "run again with --state FILE to go on, or with a larger --budget"
    );
}
