//! Twenty machines by both routes, in waves, on a vCenter and on a bare host.

use std::{collections::BTreeMap, fs, process::Command};

use crate::bench::{Bench, bench, sha256, text};

const SIZE: usize = 256 << 10;

fn twenty(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let mut data = BTreeMap::new();
    for i in 0..10 {
        let (flat, stream) = (format!("flat{i}"), format!("stream{i}"));
        data.insert(flat.clone(), bench.flat(&flat, SIZE));
        data.insert(stream.clone(), bench.stream(&stream, SIZE));
    }
    data
}

fn whole_way(arguments: &[&str]) {
    let bench = bench(arguments);
    let data = twenty(&bench);
    let before = bench.machines();

    let planned = bench.plan();
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));
    // Streams come second, and all of them start.
    bench.edit(|plan| {
        let plan = plan.replace("power_on = false", "power_on = true");
        let (head, tail) = plan.split_once("[[machine]]\nname = \"stream0\"").unwrap();
        format!("{head}[[machine]]\nname = \"stream0\"{}", tail.replace("wave = 1", "wave = 2"))
    });
    let dry = bench.apply(&["--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", text(&dry));
    assert!(text(&dry).contains("PowerOnVM_Task when wave 2 is complete"));
    assert!(!bench.path("redeploy.journal.jsonl").exists());
    assert_eq!(bench.machines().len(), before.len(), "planning or looking made something");

    let applied = bench.apply(&["-vv"]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
    for (name, bytes) in &data {
        assert_eq!(bench.count(name), 1, "{name}");
        if name.starts_with("flat") {
            assert!(bench.arrived(&format!("/{name}-flat.vmdk"), bytes), "{name}");
        }
    }
    streams_convert_back(&bench, &data);
    the_journal_knows_what_was_sent(&bench, &data);
    second_reader(&bench, &data);
    waves_were_kept(&bench);

    let uploads = bench.proxy.uploads().len();
    let again = bench.apply(&[]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert_eq!(bench.proxy.uploads().len(), uploads, "finished machines were touched");

    let kept = bench.undo(&["--yes"]);
    assert_eq!(kept.status.code(), Some(3), "{}", text(&kept));
    assert_eq!(bench.machines().len(), before.len() + 20, "a running machine was removed");
    let undone = bench.undo(&["--yes", "--power-off"]);
    assert_eq!(undone.status.code(), Some(0), "{}", text(&undone));
    let names = |list: Vec<vmglean::redeploy::estate::Existing>| -> Vec<String> {
        list.into_iter().map(|machine| machine.name).collect()
    };
    assert_eq!(names(bench.machines()), names(before));
    let nothing = bench.undo(&["--yes"]);
    assert!(text(&nothing).contains("nothing is left to remove"), "{}", text(&nothing));

    no_secret_is_written(&bench, &[planned, dry, applied, again, kept, undone]);
}

fn streams_convert_back(bench: &Bench, data: &BTreeMap<String, Vec<u8>>) {
    let mut raws: Vec<String> = Vec::new();
    for upload in bench.proxy.uploads().iter().filter(|upload| upload.path.starts_with("/nfc")) {
        let raw = bench.path("back.raw");
        let stream = upload.file.with_extension("vmdk");
        fs::copy(&upload.file, &stream).unwrap();
        let done = Command::new("qemu-img")
            .args(["convert", "-f", "vmdk", "-O", "raw"])
            .args([&stream, &raw])
            .status()
            .unwrap();
        assert!(done.success());
        raws.push(sha256(&fs::read(&raw).unwrap()));
    }
    let mut wanted: Vec<String> = data
        .iter()
        .filter(|(name, _)| name.starts_with("stream"))
        .map(|(_, bytes)| sha256(bytes))
        .collect();
    raws.sort();
    wanted.sort();
    assert_eq!(raws, wanted);
}

fn the_journal_knows_what_was_sent(bench: &Bench, data: &BTreeMap<String, Vec<u8>>) {
    let journal = fs::read_to_string(bench.path("redeploy.journal.jsonl")).unwrap();
    for (name, bytes) in data.iter().filter(|(name, _)| name.starts_with("flat")) {
        let wanted = sha256(bytes);
        let told = journal
            .lines()
            .any(|line| line.contains(&format!("{name}-flat.vmdk")) && line.contains(&wanted));
        assert!(told, "{name}");
    }
    assert_eq!(journal.matches(r#""step":"whole""#).count(), 20);
}

fn second_reader(bench: &Bench, data: &BTreeMap<String, Vec<u8>>) {
    let (host, port) = bench.sim.address().split_once(':').unwrap();
    let Some(read) = bench.python("second_reader.py", &[host, port]) else { return };
    assert!(read.status.success(), "{}", text(&read));
    let seen: BTreeMap<String, serde_json::Value> = String::from_utf8_lossy(&read.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|machine: serde_json::Value| (machine["name"].as_str().unwrap().to_owned(), machine))
        .collect();
    for name in data.keys() {
        let machine = &seen[name];
        assert_eq!(machine["disks"].as_array().unwrap().len(), 1, "{machine}");
        assert_eq!(machine["networks"], serde_json::json!(["vmglean-isolated"]), "{machine}");
        assert_eq!(machine["firmware"], "efi", "{machine}");
        assert_eq!(machine["power"], "poweredOn", "{machine}");
        let note = machine["annotation"].as_str().unwrap();
        assert!(note.contains("Redeployed by vmglean") && note.contains("Case: C-1"), "{note}");
    }
}

fn waves_were_kept(bench: &Bench) {
    let calls = bench.proxy.state.calls.lock().unwrap().clone();
    let last_register = calls.iter().rposition(|call| call == "RegisterVM_Task").unwrap();
    let first_power = calls.iter().position(|call| call == "PowerOnVM_Task").unwrap();
    let first_import = calls.iter().position(|call| call == "ImportVApp").unwrap();
    assert!(last_register < first_power && first_power < first_import, "{calls:?}");
    assert_eq!(calls.iter().filter(|call| *call == "PowerOnVM_Task").count(), 20);
}

/// In nothing that was printed, in no file that was written (plan, journal, and whatever else lies
/// beside them), and in nothing that was sent but the login itself.
fn no_secret_is_written(bench: &Bench, outputs: &[std::process::Output]) {
    let mut texts: Vec<Vec<u8>> =
        outputs.iter().flat_map(|said| [said.stdout.clone(), said.stderr.clone()]).collect();
    for entry in fs::read_dir(bench.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            texts.push(fs::read(path).unwrap());
        }
    }
    for upload in bench.proxy.uploads() {
        texts.push(fs::read(upload.file).unwrap());
    }
    let mut secrets = bench.proxy.state.cookies.lock().unwrap().clone();
    assert!(!secrets.is_empty());
    secrets.extend([crate::bench::PASSWORD.to_owned(), "vmware_soap_session".to_owned()]);
    for text in texts {
        let text = String::from_utf8_lossy(&text);
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
    }
}

#[test]
fn twenty_machines_come_up_on_a_vcenter_and_go_again() {
    whole_way(&[]);
}

#[test]
fn twenty_machines_come_up_on_a_bare_host_and_go_again() {
    whole_way(&["-esx"]);
}
