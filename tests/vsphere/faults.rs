//! Lines that break everywhere: after a second apply each machine is there exactly once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use crate::{
    bench::{Bench, bench, sha256, text},
    proxy::Action,
};

const SIZE: usize = 64 << 10;

fn stream_of(bench: &Bench, name: &str) -> PathBuf {
    bench.path("src").join(name).join(format!("{name}.vmdk"))
}

/// What must hold at the end, whatever happened before: each machine is there once, its bytes
/// arrived whole, and the journal holds their hash.
fn all_once(bench: &Bench, data: &BTreeMap<String, Vec<u8>>, before: usize) {
    let machines = bench.machines();
    assert_eq!(machines.len(), before + data.len(), "half machines are left");
    let journal = std::fs::read_to_string(bench.path("redeploy.journal.jsonl")).unwrap();
    // What the simulator keeps of a stream is known by what came through.
    let uploads = bench.proxy.uploads();
    let whole: BTreeSet<&str> =
        uploads.iter().filter(|u| u.whole).map(|u| u.sha256.as_str()).collect();
    for (name, bytes) in data {
        let here = machines.iter().filter(|machine| machine.name == *name).count();
        assert_eq!(here, 1, "{name}");
        let sum = if name.starts_with('f') {
            assert!(bench.arrived(&format!("/{name}-flat.vmdk"), bytes), "{name}");
            sha256(bytes)
        } else {
            let sum = sha256(&std::fs::read(stream_of(bench, name)).unwrap());
            assert!(whole.contains(sum.as_str()), "{name}");
            sum
        };
        assert!(journal.contains(&sum), "{name}: its hash is not in the journal");
    }
}

fn ends_well(bench: &Bench) {
    let again = bench.apply(&["--retries", "0"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
}

/// Flat files and streams are each cut at every percent.
#[test]
fn an_upload_cut_anywhere_is_whole_after_a_second_apply() {
    let bench = bench(&[]);
    let mut data = BTreeMap::new();
    let mut cut = Vec::new();
    for percent in 0..100 {
        let (flat, stream) = (format!("f{percent:02}"), format!("s{percent:02}"));
        data.insert(flat.clone(), bench.flat(&flat, SIZE));
        bench.proxy.rule(&format!("/{flat}-flat.vmdk"), Action::Cut(SIZE * percent / 100));
        data.insert(stream.clone(), bench.stream(&stream, SIZE));
        let length = std::fs::metadata(stream_of(&bench, &stream)).unwrap().len();
        cut.push(usize::try_from(length).unwrap() * percent / 100);
    }
    for at in cut {
        bench.proxy.rule("/nfc/", Action::Cut(at));
    }
    let before = bench.machines().len();
    bench.plan();
    bench.edit(|plan| plan.replace("machines_per_host = 2", "machines_per_host = 8"));
    let first = bench.apply(&["--retries", "0"]);
    assert_eq!(first.status.code(), Some(74), "{}", text(&first));
    assert!(bench.proxy.state.rules.lock().unwrap().is_empty(), "a cut was never made");
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
}

/// How a run ends early.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The server is gone for good.
    Gone,
    /// The run itself is killed.
    Killed,
}

/// Two machines that come one after the other, one by each route.
fn two(arguments: &[&str]) -> (Bench, BTreeMap<String, Vec<u8>>, usize) {
    let bench = bench(arguments);
    let mut data = BTreeMap::new();
    data.insert("f0".to_owned(), bench.flat("f0", SIZE / 4));
    data.insert("s0".to_owned(), bench.stream("s0", SIZE / 4));
    let before = bench.machines().len();
    let planned = bench.plan();
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));
    bench.edit(|plan| plan.replace("\nmachines = 8", "\nmachines = 1"));
    (bench, data, before)
}

/// One run that ends after so many requests, and one that goes on. Whether the first got so far.
fn ended_after(requests: usize, end: End, arguments: &[&str]) -> bool {
    let (bench, data, before) = two(arguments);
    let state = &bench.proxy.state;
    state.hold.store(matches!(end, End::Killed), Ordering::SeqCst);
    state.left.store(requests, Ordering::SeqCst);
    let mut run = bench.applying(&["--retries", "0"]);
    let mut run = run.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let ended = loop {
        if let Some(ended) = run.try_wait().unwrap() {
            break ended;
        }
        if matches!(end, End::Killed) && state.left.load(Ordering::SeqCst) == 0 {
            run.kill().unwrap();
            break run.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let reached = state.left.load(Ordering::SeqCst) == 0;
    state.hold.store(false, Ordering::SeqCst);
    state.left.store(usize::MAX, Ordering::SeqCst);
    assert!(reached || ended.code() == Some(0), "{requests} {end:?}: {ended}");
    ends_well(&bench);
    all_once(&bench, &data, before);
    let undone = bench.undo(&["--yes"]);
    assert_eq!(undone.status.code(), Some(0), "{requests} {end:?}: {}", text(&undone));
    assert_eq!(bench.machines().len(), before, "{requests} {end:?}");
    reached
}

/// Ends runs after their first request, their second, and so on to their last, side by side.
fn ended_anywhere(end: End, arguments: &[&str]) {
    let next = AtomicUsize::new(1);
    let most = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let requests = next.fetch_add(1, Ordering::SeqCst);
                    assert!(requests < 400, "it never ends");
                    if !ended_after(requests, end, arguments) {
                        break;
                    }
                    most.fetch_max(requests, Ordering::SeqCst);
                }
            });
        }
    });
    let most = most.into_inner();
    // Preflight, then each machine's own: fewer would mean that runs ended for another reason.
    assert!((40..400).contains(&most), "{most} requests");
}

#[test]
fn a_server_that_is_gone_after_any_request_leaves_a_run_that_can_go_on() {
    ended_anywhere(End::Gone, &["-esx"]);
}

#[test]
fn a_run_killed_at_any_request_is_gone_on_with() {
    ended_anywhere(End::Killed, &[]);
}
