//! Lines that break everywhere: after a second apply each machine is there exactly once.

use std::{collections::BTreeMap, process::Stdio, sync::atomic::Ordering, time::Duration};

use crate::{
    bench::{Bench, bench, sha256, text},
    proxy::Action,
};

const SIZE: usize = 64 << 10;

/// What must hold at the end, whatever happened before.
fn all_once(bench: &Bench, data: &BTreeMap<String, Vec<u8>>, before: usize) {
    let machines = bench.machines();
    assert_eq!(machines.len(), before + data.len(), "half machines are left");
    for (name, bytes) in data {
        assert_eq!(bench.count(name), 1, "{name}");
        if name.starts_with('f') {
            assert!(bench.arrived(&format!("/{name}-flat.vmdk"), bytes), "{name}");
        }
    }
}

fn ends_well(bench: &Bench) {
    let again = bench.apply(&["--retries", "0"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
}

/// Flat files are cut at every percent, streams at every tenth.
#[test]
fn an_upload_cut_anywhere_is_whole_after_a_second_apply() {
    let bench = bench(&[]);
    let mut data = BTreeMap::new();
    for percent in 0..100 {
        let flat = format!("f{percent:02}");
        data.insert(flat.clone(), bench.flat(&flat, SIZE));
        bench.proxy.rule(&format!("/{flat}-flat.vmdk"), Action::Cut(SIZE * percent / 100));
        if percent % 10 == 0 {
            let stream = format!("s{percent:02}");
            data.insert(stream.clone(), bench.stream(&stream, SIZE));
            bench.proxy.rule("/nfc/", Action::Cut(SIZE * percent / 100));
        }
    }
    let before = bench.machines().len();
    bench.plan();
    bench.edit(|plan| plan.replace("machines_per_host = 2", "machines_per_host = 8"));
    let first = bench.apply(&["--retries", "0"]);
    assert_eq!(first.status.code(), Some(74), "{}", text(&first));
    assert_eq!(bench.machines().len(), before, "a half machine is in the inventory");
    ends_well(&bench);
    all_once(&bench, &data, before);
}

#[test]
fn refusals_stalls_and_lost_answers_are_gone_over_with_nothing_made_twice() {
    let bench = bench(&["-esx"]);
    let mut data = BTreeMap::new();
    for name in ["f401", "f503", "fstall", "flost", "fok"] {
        data.insert(name.to_owned(), bench.flat(name, SIZE));
    }
    for name in ["s0", "s1", "s2"] {
        data.insert(name.to_owned(), bench.stream(name, SIZE));
    }
    let before = bench.machines().len();
    bench.plan();
    let rule = |of: &str, action| bench.proxy.rule(of, action);
    rule("/f401-flat", Action::Status(401, SIZE / 2));
    rule("/f503-flat", Action::Status(503, SIZE / 3));
    rule("/fstall-flat", Action::Stall(SIZE / 2, Duration::from_secs(3)));
    rule("/flost-flat", Action::Lost);
    rule("/nfc/", Action::Status(503, 100));
    rule("/nfc/", Action::Lost);
    rule("AddVirtualSwitch", Action::Lost);
    rule("MakeDirectory", Action::Lost);
    rule("MakeDirectory", Action::Say(200, ""));
    rule("RegisterVM_Task", Action::Lost);
    rule("RegisterVM_Task", Action::NotAuthenticated);
    rule("ImportVApp", Action::Lost);
    rule("HttpNfcLeaseComplete", Action::Lost);
    rule("ReconfigVM_Task", Action::Lost);
    rule("RetrievePropertiesEx", Action::Status(503, 0));
    rule("RetrievePropertiesEx", Action::NotAuthenticated);
    let mut runs = 0;
    loop {
        runs += 1;
        let run = bench.apply(&["--retries", "0", "--stall", "2s"]);
        if run.status.code() == Some(0) {
            break;
        }
        assert!(runs < 12, "{}", text(&run));
    }
    assert!(bench.proxy.state.rules.lock().unwrap().is_empty(), "a rule was never used");
    all_once(&bench, &data, before);
    // What the simulator keeps of a stream is known by what came through last.
    let whole: Vec<String> =
        bench.proxy.uploads().iter().filter(|u| u.whole).map(|u| u.sha256.clone()).collect();
    for name in ["s0", "s1", "s2"] {
        let sent =
            std::fs::read(bench.path("src").join(name).join(format!("{name}.vmdk"))).unwrap();
        assert!(whole.contains(&sha256(&sent)), "{name}");
    }
}

/// Sampled: every fifth request of the run.
#[test]
fn a_server_that_is_gone_after_any_request_leaves_a_run_that_can_go_on() {
    let bench = bench(&["-esx"]);
    let mut data = BTreeMap::new();
    data.insert("f0".to_owned(), bench.flat("f0", SIZE));
    data.insert("s0".to_owned(), bench.stream("s0", SIZE));
    let before = bench.machines().len();
    bench.plan();
    // Each run comes a few requests further than preflight needs, then everything is dropped.
    let mut left = 16;
    loop {
        bench.proxy.state.left.store(left, Ordering::SeqCst);
        let run = bench.apply(&["--retries", "0"]);
        bench.proxy.state.left.store(usize::MAX, Ordering::SeqCst);
        if run.status.code() == Some(0) {
            break;
        }
        assert!(left < 200, "{}", text(&run));
        left += 5;
    }
    ends_well(&bench);
    all_once(&bench, &data, before);
}

/// Sampled: every seventh request of the run.
#[test]
fn a_run_killed_at_any_request_is_gone_on_with() {
    let bench = bench(&[]);
    let mut data = BTreeMap::new();
    data.insert("f0".to_owned(), bench.flat("f0", SIZE));
    data.insert("s0".to_owned(), bench.stream("s0", SIZE));
    let before = bench.machines().len();
    bench.plan();
    let state = &bench.proxy.state;
    let mut left = 18;
    loop {
        state.hold.store(true, Ordering::SeqCst);
        state.left.store(left, Ordering::SeqCst);
        let mut run =
            bench.applying(&[]).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let ended = loop {
            if let Some(ended) = run.try_wait().unwrap() {
                break Some(ended);
            }
            if state.left.load(Ordering::SeqCst) == 0 {
                run.kill().unwrap();
                run.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        state.hold.store(false, Ordering::SeqCst);
        state.left.store(usize::MAX, Ordering::SeqCst);
        if let Some(ended) = ended {
            assert_eq!(ended.code(), Some(0));
            break;
        }
        assert!(left < 300, "it never ends");
        left += 7;
    }
    ends_well(&bench);
    all_once(&bench, &data, before);
    let undone = bench.undo(&["--yes"]);
    assert_eq!(undone.status.code(), Some(0), "{}", text(&undone));
    assert_eq!(bench.machines().len(), before);
}
