//! Plans that are nonsense or out of date: one line, and nothing is made.

use std::fs;

use crate::bench::{Bench, bench, text};

fn refused(bench: &Bench, code: i32, words: &str) {
    let said = bench.apply(&[]);
    assert_eq!(said.status.code(), Some(code), "{}", text(&said));
    assert!(text(&said).contains(words), "{words:?} in {}", text(&said));
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
    bench.strict();
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
