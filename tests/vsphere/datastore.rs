//! A sweep of a datastore over the API says what a sweep of the same files in a folder says.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Output,
};

use reqwest::Url;
use serde_json::Value;

use crate::{
    bench::{Bench, bench, text, vmglean},
    proxy::Action,
};

fn estate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/estate/ds-berlin")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Puts a file onto the simulator's datastore, past the proxy.
fn put(bench: &Bench, path: &Path, bytes: &[u8], query: &str) {
    let mut url = Url::parse(&bench.sim.url).unwrap();
    url.path_segments_mut()
        .unwrap()
        .push("folder")
        .extend(path.iter().map(|part| part.to_str().unwrap()));
    url.set_query(Some(query));
    let target = &url.as_str()[bench.sim.url.len()..];
    let mut line = TcpStream::connect(bench.sim.address()).unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    line.write_all(head.as_bytes()).unwrap();
    line.write_all(bytes).unwrap();
    let mut reply = String::new();
    line.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 20"), "{target}: {reply}");
}

fn sweep(bench: &Bench, source: &str, more: &[&str]) -> Output {
    vmglean()
        .env("GOVC_URL", bench.proxy.url())
        .args(["sweep", source, "--json", "--reproducible"])
        .args(more)
        .output()
        .unwrap()
}

/// What counts of each machine, by its place.
fn judged(said: &Output, prefix: &str) -> BTreeMap<String, Value> {
    let record = serde_json::from_slice::<Value>(&said.stdout);
    assert!(record.is_ok(), "{}", text(said));
    let record = record.unwrap();
    let machines = record["machines"].as_array().unwrap();
    let short = |value: &Value| value.as_str().unwrap_or_default().replace(prefix, "");
    let of = |machine: &Value| {
        let disks = machine["disks"].as_array().unwrap().iter();
        let disks: Vec<Value> = disks
            .map(|disk| {
                serde_json::json!([
                    short(&disk["leaf"]),
                    disk["verdict"],
                    disk["family"],
                    disk["capacity_bytes"]
                ])
            })
            .collect();
        let parts = [&machine["name"], &machine["verdict"], &machine["route"]];
        serde_json::json!([parts, disks])
    };
    machines.iter().map(|machine| (short(&machine["id"]), of(machine))).collect()
}

fn same_as_a_folder(arguments: &[&str], query: &str) {
    let bench = bench(arguments);
    let mut found = Vec::new();
    files(&estate(), &mut found);
    for file in &found {
        let rel = file.strip_prefix(estate()).unwrap();
        put(&bench, rel, &fs::read(file).unwrap(), query);
    }
    let folder = sweep(&bench, estate().to_str().unwrap(), &[]);
    let there = "vsphere:///LocalDS_0";
    let server = sweep(&bench, there, &[]);
    assert_eq!(server.status.code(), folder.status.code(), "{}", text(&server));
    let wanted = judged(&folder, &format!("{}/", estate().display()));
    let mut said = judged(&server, &format!("{there}/"));
    // Machines that the simulator has of its own.
    said.retain(|place, _| !place.starts_with("DC0_") && !place.starts_with("ha-"));
    assert!(wanted.len() > 5);
    assert_eq!(said, wanted);
    for call in bench.proxy.state.calls.lock().unwrap().iter() {
        let reads = [
            "RetrieveServiceContent",
            "Login",
            "Logout",
            "CreateContainerView",
            "DestroyView",
            "RetrievePropertiesEx",
            "SearchDatastoreSubFolders_Task",
            "CurrentTime",
        ];
        assert!(reads.contains(&call.as_str()), "{call} is no reading");
    }
    assert!(bench.proxy.uploads().is_empty());
}

#[test]
fn a_datastore_of_a_bare_host_is_judged_as_its_files_are() {
    same_as_a_folder(&["-esx"], "dcPath=ha-datacenter&dsName=LocalDS_0");
}

#[test]
fn a_datastore_of_a_vcenter_is_judged_as_its_files_are() {
    same_as_a_folder(&[], "dcPath=DC0&dsName=LocalDS_0");
}

#[test]
fn a_large_disk_is_judged_without_fetching_all_of_it() {
    let bench = bench(&["-esx"]);
    bench.flat("big", 64 << 20);
    let query = "dcPath=ha-datacenter&dsName=LocalDS_0";
    for name in ["big.vmx", "big.vmdk", "big-flat.vmdk"] {
        let bytes = fs::read(bench.path("src/big").join(name)).unwrap();
        put(&bench, &Path::new("big").join(name), &bytes, query);
    }
    let said = sweep(&bench, "vsphere:///LocalDS_0", &["--samples", "64"]);
    let folder = sweep(&bench, bench.path("src").to_str().unwrap(), &["--samples", "64"]);
    assert_eq!(said.status.code(), folder.status.code(), "{}", text(&said));
    let folder = judged(&folder, &format!("{}/", bench.path("src").display()));
    let said = judged(&said, "vsphere:///LocalDS_0/");
    assert_eq!(said["big/big.vmx"], folder["big/big.vmx"]);
    let fetched = bench.proxy.state.fetched.load(std::sync::atomic::Ordering::SeqCst);
    assert!((1 << 20..16 << 20).contains(&fetched), "{fetched} bytes of 64 MiB");
}

#[test]
fn a_disk_that_a_host_keeps_to_itself_is_not_judged() {
    let bench = bench(&["-esx"]);
    bench.flat("kept", 1 << 20);
    let query = "dcPath=ha-datacenter&dsName=LocalDS_0";
    for name in ["kept.vmx", "kept.vmdk", "kept-flat.vmdk"] {
        let bytes = fs::read(bench.path("src/kept").join(name)).unwrap();
        put(&bench, &Path::new("kept").join(name), &bytes, query);
    }
    for _ in 0..300 {
        for method in ["HEAD", "GET"] {
            bench
                .proxy
                .rule(&format!("{method} /folder/kept/kept-flat.vmdk"), Action::Status(403, 0));
        }
    }
    let said = sweep(&bench, "vsphere:///LocalDS_0", &[]);
    assert_eq!(said.status.code(), Some(3), "{}", text(&said));
    let machine = &judged(&said, "vsphere:///LocalDS_0/")["kept/kept.vmx"];
    // Neither sound nor gone.
    assert_eq!(machine[0][1], "undetermined", "{}", text(&said));
    assert!(text(&said).contains("403"), "the reason stands beside it: {}", text(&said));
}

#[test]
fn a_datastore_that_cannot_be_had_is_one_line() {
    let bench = bench(&["-esx"]);
    for (source, code, words) in [
        ("vsphere:///nowhere", 2, "there is no datastore \"nowhere\"; known are LocalDS_0"),
        ("vsphere://host", 2, "vsphere://host/datastore"),
        ("vsphere://root:hunter2@host/x", 2, "a password in the address"),
        ("vsphere://127.0.0.1:1/x", 74, "127.0.0.1"),
    ] {
        let said = sweep(&bench, source, &[]);
        assert_eq!(said.status.code(), Some(code), "{}", text(&said));
        assert!(text(&said).contains(words), "{words:?} in {}", text(&said));
        assert_eq!(text(&said).trim().lines().count(), 1, "{}", text(&said));
        assert!(!text(&said).contains("hunter2"));
    }
    let state = bench.path("state");
    let said = sweep(&bench, "vsphere:///LocalDS_0", &["--state", state.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(2), "{}", text(&said));
}

#[test]
fn a_live_server_tells_the_configurations_of_its_machines() {
    for arguments in [&["-esx"][..], &[]] {
        let bench = bench(arguments);
        bench.flat("web", 64 << 10);
        bench.plan();
        let applied = bench.apply(&[]);
        assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
        bench.proxy.state.calls.lock().unwrap().clear();
        let out = bench.path("out");
        let salvage = |more: &[&str]| {
            vmglean()
                .env("GOVC_URL", bench.proxy.url())
                .args(["salvage", "vsphere://", "--machine", "web", "--out"])
                .arg(&out)
                .args(more)
                .output()
                .unwrap()
        };
        let said = salvage(&["--json"]);
        assert_eq!(said.status.code(), Some(0), "{}", text(&said));
        let told: Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(told["machines"].as_array().unwrap().len(), 1);
        assert_eq!(told["machines"][0]["name"], "web");
        let written = fs::read(out.join("web/web.vmx")).unwrap();
        let read = vmglean_formats::vmx::Vmx::parse(&written).value;
        assert_eq!(read.display_name.as_deref(), Some("web"));
        assert_eq!(read.disks().count(), 1);
        let disk = read.disks().next().unwrap();
        assert_eq!(disk.file_name.as_deref(), Some("web.vmdk"));
        let network = read.nics.iter().find(|nic| nic.present).unwrap();
        assert_eq!(network.network.as_deref(), Some("vmglean-isolated"));
        let text_of = String::from_utf8(written).unwrap();
        for words in ["firmware = \"efi\"", "Redeployed by vmglean"] {
            assert!(text_of.contains(words), "{words} in {text_of}");
        }
        let again = salvage(&[]);
        assert_eq!(again.status.code(), Some(4), "{}", text(&again));
        for call in bench.proxy.state.calls.lock().unwrap().iter() {
            assert!(!call.ends_with("_Task"), "{call} is no reading");
        }
    }
}
