//! What a run shows and holds to: every call beforehand, its pace, how far it is, its session.

use std::{
    fs,
    io::Cursor,
    process::Command,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use vmglean::redeploy::vsphere::{Address, Credentials, Pace, Server, Trust, Watch};

use crate::{
    bench::{PASSWORD, bench, noise, text},
    proxy::Action,
};

/// Calls that change nothing, or only keep a lease.
const READS: [&str; 15] = [
    "HasPrivilegeOnEntities",
    "RetrieveServiceContent",
    "Login",
    "Logout",
    "CurrentTime",
    "CreateContainerView",
    "DestroyView",
    "CreateFilter",
    "DestroyPropertyFilter",
    "RetrievePropertiesEx",
    "ContinueRetrievePropertiesEx",
    "WaitForUpdatesEx",
    "SearchDatastore_Task",
    "HttpNfcLeaseProgress",
    "ReconfigVM_Task",
];

#[test]
fn a_dry_run_prints_every_call_that_the_run_then_makes() {
    for arguments in [&["-esx"][..], &[]] {
        let bench = bench(arguments);
        for name in ["f0", "f1"] {
            bench.flat(name, 64 << 10);
            fs::write(bench.path("src").join(name).join(format!("{name}.nvram")), name).unwrap();
            let vmx = bench.path("src").join(name).join(format!("{name}.vmx"));
            let line = format!("nvram = \"{name}.nvram\"\n");
            fs::write(&vmx, [&fs::read(&vmx).unwrap()[..], line.as_bytes()].concat()).unwrap();
        }
        bench.stream("s0", 64 << 10);
        fs::create_dir(bench.path("lone")).unwrap();
        let raw = bench.path("lone/r0.raw");
        fs::write(&raw, noise("r0", 64 << 10)).unwrap();
        let planned = bench.plan_of(&[&bench.path("src"), &raw]);
        assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));
        bench.edit(|plan| {
            let plan = plan.replace("power_on = false", "power_on = true");
            let (head, tail) = plan.split_once("name = \"f1\"").unwrap();
            format!("{head}name = \"f1\"{}", tail.replace("\"register\"", "\"create\""))
        });
        let dry = bench.apply(&["--dry-run"]);
        assert_eq!(dry.status.code(), Some(0), "{}", text(&dry));
        let dry = String::from_utf8(dry.stdout).unwrap();
        let said = |word: &str| dry.lines().filter(|line| line.contains(word)).count();
        bench.proxy.state.calls.lock().unwrap().clear();
        assert!(bench.proxy.uploads().is_empty());
        let applied = bench.apply(&[]);
        assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
        let calls = bench.proxy.state.calls.lock().unwrap().clone();
        for call in calls.iter().filter(|call| !READS.contains(&call.as_str())) {
            let made = calls.iter().filter(|other| *other == call).count();
            assert_eq!(said(&format!(": {call}")), made, "{call}: {dry}");
        }
        // Where it is made, it was told of.
        assert_eq!(said("ReconfigVM_Task"), 4);
        // A host makes a .nvram of its own, ours comes after it.
        for name in ["f0", "f1"] {
            assert!(bench.arrived(&format!("/{name}.nvram"), name.as_bytes()), "{name}");
        }
        let uploads = bench.proxy.uploads();
        let (posts, puts): (Vec<_>, Vec<_>) =
            uploads.iter().partition(|upload| upload.path.starts_with("/nfc"));
        assert_eq!((said(": POST "), said(": PUT ")), (posts.len(), puts.len()), "{dry}");
        for put in puts {
            let place = put.path.strip_prefix("/folder/").unwrap();
            let line = dry.lines().find(|line| line.contains(": PUT ") && line.contains(place));
            assert!(line.is_some(), "{place}: {dry}");
        }
    }
}

#[test]
fn a_run_keeps_to_its_rate_and_tells_how_far_it_is() {
    let bench = bench(&["-esx"]);
    for name in ["a", "b"] {
        bench.flat(name, 1 << 20);
    }
    bench.plan();
    // What goes out for nothing is not counted.
    bench.proxy.rule("/a-flat.vmdk", Action::Cut(700 << 10));
    let begun = Instant::now();
    let said = bench.apply(&["--limit-rate", "1MiB", "--progress", "json"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said));
    // Two files at once share one mebibyte a second.
    assert!(begun.elapsed() > Duration::from_millis(1500), "{:?}", begun.elapsed());
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&said.stderr)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert!(lines.len() >= 2, "{}", text(&said));
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    assert_eq!(first["done_bytes"], 0);
    for line in [first, last] {
        assert_eq!(line["total_bytes"], 2 << 20);
        assert_eq!(line["what"], "sending");
    }
    assert_eq!(last["done_bytes"], 2 << 20);
    assert!(last["rate_bytes_per_s"].as_u64().is_some_and(|rate| rate < 2 << 20), "{last}");
    assert!(lines.iter().any(|line| line["eta_s"].is_u64()), "{lines:?}");
}

/// An upload that takes longer than the server keeps an idle session, and what comes after it.
fn a_long_upload(keep_alive: Duration) -> (usize, usize) {
    let bench = bench(&["-esx", "-idle", "700ms"]);
    let address = Address::parse(&bench.proxy.url()).unwrap();
    let login = Credentials::new("root", PASSWORD);
    let server = Server::connect_with(&address, login, Trust::Nothing, keep_alive).unwrap();
    server.make_folder("[LocalDS_0] before", None).unwrap();
    let data = noise("x", 1 << 20);
    let (length, pace, stop) = (1 << 20, Pace::new(Some(384 << 10)), AtomicBool::new(false));
    let watch = Watch { moved: &|_| {}, pace: &pace, stop: &stop, stall: Duration::from_secs(60) };
    let place = ("ha-datacenter", "LocalDS_0", "before/x");
    server.put_file(place, Box::new(Cursor::new(data)), length, watch).unwrap();
    server.make_folder("[LocalDS_0] after", None).unwrap();
    (bench.proxy.calls("CurrentTime"), bench.proxy.calls("Login"))
}

#[test]
fn a_server_that_is_printed_shows_neither_password_nor_session() {
    let bench = bench(&["-esx"]);
    let address = Address::parse(&bench.proxy.url()).unwrap();
    let login = Credentials::new("root", PASSWORD);
    let server = Server::connect(&address, login, Trust::Nothing).unwrap();
    server.make_folder("[LocalDS_0] x", None).unwrap();
    let shown = format!("{server:?}");
    assert!(shown.contains("root"), "{shown}");
    let cookies = bench.proxy.state.cookies.lock().unwrap().clone();
    assert!(!cookies.is_empty());
    for secret in cookies.iter().map(String::as_str).chain([PASSWORD]) {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_session_is_kept_alive_through_a_long_upload_and_renewed_where_it_was_not() {
    let (kept, logins) = a_long_upload(Duration::from_millis(100));
    assert!(kept > 5, "{kept}");
    assert_eq!(logins, 1);
    let (kept, logins) = a_long_upload(Duration::from_secs(60));
    assert_eq!((kept, logins), (0, 2));
}

#[test]
fn a_run_that_crashes_for_want_of_memory_shows_no_secret_and_is_gone_on_with() {
    let bench = bench(&["-esx"]);
    bench.flat("web", 256 << 10);
    bench.plan();
    let mut crashed = Vec::new();
    let mut outputs = Vec::new();
    for mib in (20..1000).step_by(4) {
        let said = Command::new("sh")
            .args([
                "-c",
                &format!(
                    "ulimit -c 0; ulimit -v {}; exec timeout -s KILL 60 \"$0\" \"$@\"",
                    mib << 10
                ),
            ])
            .arg(env!("CARGO_BIN_EXE_vmglean"))
            .args(["redeploy", "apply", "-vv", "--retries", "0"])
            .arg(bench.path("plan.toml"))
            .envs([("GOVC_USERNAME", "root"), ("GOVC_PASSWORD", PASSWORD)])
            // Where memory ends while it prints a trace, the standard library stands still.
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        match said.status.code() {
            Some(137) => panic!("at {mib} MiB it never ends"),
            None | Some(101 | 134 | 139) => crashed.push(mib),
            _ => {}
        }
        let whole = said.status.code() == Some(0);
        outputs.push(text(&said));
        if whole {
            break;
        }
    }
    assert!(!crashed.is_empty(), "{outputs:?}");
    let cookies = bench.proxy.state.cookies.lock().unwrap().clone();
    assert!(!cookies.is_empty());
    for said in &outputs {
        assert!(!said.contains(PASSWORD), "{said}");
        assert!(cookies.iter().all(|cookie| !said.contains(cookie)), "{said}");
    }
    let again = bench.apply(&[]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert_eq!(bench.count("web"), 1);
}
