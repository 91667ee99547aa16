//! Plans that are nonsense or out of date: one line, and nothing is made.

use std::{fs, process::Output};

use crate::bench::{Bench, bench, text, vmglean};

fn refused(bench: &Bench, code: i32, words: &str) {
    let said = bench.apply(&[]);
    assert_eq!(said.status.code(), Some(code), "{}", text(&said));
    assert!(text(&said).contains(words), "{words:?} in {}", text(&said));
    assert_eq!(text(&said).trim().lines().count(), 1, "{}", text(&said));
    assert!(!bench.path("redeploy.journal.jsonl").exists());
    for call in ["MakeDirectory", "RegisterVM_Task", "ImportVApp", "AddVirtualSwitch"] {
        assert_eq!(bench.proxy.calls(call), 0, "{call}");
    }
}

#[test]
fn a_plan_that_is_nonsense_or_out_of_date_makes_nothing() {
    let bench = bench(&[]);
    bench.flat("web", 64 << 10);
    bench.flat("db", 64 << 10);
    let planned = bench.plan();
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));
    let good = fs::read_to_string(bench.path("plan.toml")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} in {good}");
        fs::write(bench.path("plan.toml"), good.replacen(from, to, 1)).unwrap();
    };
    with("wave = 1", "wave = 1\ncolour = \"red\"");
    refused(&bench, 2, "colour");
    with("name = \"web\"", "name = \"db\"");
    refused(&bench, 2, "two machines are called \"db\"");
    with("schema = \"vmglean.redeploy-plan/1\"", "schema = \"vmglean.redeploy-plan/9\"");
    refused(&bench, 2, "redeploy-plan/9");
    with("host = \"", "host = \"nowhere-");
    refused(&bench, 4, "there is no host");
    with("datastore = \"", "datastore = \"nowhere-");
    refused(&bench, 4, "reaches no datastore");
    with("make_isolated = true", "make_isolated = false");
    refused(&bench, 4, "has no network");
    with("web-flat.vmdk", "gone-flat.vmdk");
    refused(&bench, 4, "gone-flat.vmdk");
    with("web-flat.vmdk", "../../../etc/passwd");
    refused(&bench, 4, "etc/passwd");
    with("directory = \"web\"", "directory = \"../web\"");
    refused(&bench, 2, "no plain folder name");
    fs::write(bench.path("plan.toml"), "not a plan").unwrap();
    refused(&bench, 2, "plan.toml: line 1");
    fs::write(bench.path("plan.toml"), &good).unwrap();
    fs::write(bench.path("src/web/web-flat.vmdk"), vec![1; 64 << 10]).unwrap();
    refused(&bench, 4, "changed since the plan was made");
}

#[test]
fn what_is_there_already_is_left_alone() {
    let bench = bench(&["-esx"]);
    bench.flat("web", 64 << 10);
    bench.plan();
    let other = bench.machines().first().unwrap().name.clone();
    bench.edit(|plan| plan.replacen("name = \"web\"", &format!("name = \"{other}\""), 1));
    refused(&bench, 4, "a machine of that name is there already");
}

#[test]
fn words_and_files_that_are_wrong_are_one_line_and_the_code_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (gone, wrong) = (at("gone"), at("wrong"));
    fs::write(&wrong, "hello\n").unwrap();
    fs::create_dir(at("empty")).unwrap();
    let run = |words: &[&str]| vmglean().arg("redeploy").args(words).output().unwrap();
    for words in [
        &["plan"][..],
        &[],
        &["apply", &wrong, "--limit-rate", "much"],
        &["apply", &wrong, "--stall", "-1"],
        &["status", &wrong, "--json", "--jsonl"],
        &["plan", &wrong, "--thumbprint", "ab", "--ca", "x"],
    ] {
        assert_eq!(run(words).status.code(), Some(2), "{words:?}");
    }
    let one = |said: Output, code: i32, words: &str| {
        assert_eq!(said.status.code(), Some(code), "{}", text(&said));
        assert!(text(&said).contains(words), "{words:?} in {}", text(&said));
        assert_eq!(text(&said).trim().lines().count(), 1, "{}", text(&said));
    };
    one(run(&["plan", &gone, "--server", "127.0.0.1"]), 74, "gone");
    one(run(&["apply", &gone]), 74, "gone");
    one(run(&["apply", &wrong]), 2, "line 1");
    for command in ["status", "undo"] {
        one(run(&[command, &gone]), 74, "gone");
        one(run(&[command, &wrong]), 74, "line 1");
    }
    assert_eq!(fs::read_to_string(&wrong).unwrap(), "hello\n");
    // A plan that is there is not written over, and no server is asked for it.
    fs::create_dir(at("machine")).unwrap();
    one(run(&["plan", &at("machine"), "--server", "127.0.0.1", "-o", &wrong]), 4, "wrong");
    let nothing = run(&["plan", &at("empty"), "--server", "127.0.0.1", "-o", &at("p")]);
    assert_eq!(nothing.status.code(), Some(74), "{}", text(&nothing));
    assert!(text(&nothing).contains("no machine was found"), "{}", text(&nothing));
}

#[test]
fn the_status_tells_each_machine_and_undo_asks_first() {
    let bench = bench(&["-esx"]);
    bench.flat("web", 64 << 10);
    bench.plan();
    let applied = bench.apply(&[]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
    let status = || {
        let journal = bench.path("redeploy.journal.jsonl");
        let said = vmglean().args(["redeploy", "status", "--json"]).arg(journal).output().unwrap();
        assert_eq!(said.status.code(), Some(0), "{}", text(&said));
        serde_json::from_slice::<serde_json::Value>(&said.stdout).unwrap()
    };
    let now = status();
    assert_eq!(now["schema"], "vmglean.redeploy-status/1");
    assert_eq!(now["server"], bench.proxy.url());
    assert_eq!(now["machines"][0]["machine"], "web");
    assert_eq!(now["machines"][0]["state"], "whole");
    assert!(now["machines"][0]["object"].is_string());
    let asked = bench.undo(&[]);
    assert_eq!(asked.status.code(), Some(4), "{}", text(&asked));
    assert!(text(&asked).contains("machine web with its files"), "{}", text(&asked));
    assert_eq!(bench.count("web"), 1);
    let undone = bench.undo(&["--yes"]);
    assert_eq!(undone.status.code(), Some(0), "{}", text(&undone));
    assert_eq!(bench.count("web"), 0);
    assert_eq!(status()["machines"][0]["state"], "nothing made");
}
