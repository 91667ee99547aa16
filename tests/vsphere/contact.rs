//! First contact: certificates, passwords.

use std::{path::Path, process::Command};

use crate::{
    bench::{bench, text, vmglean},
    sim::Sim,
};

fn certificate(dir: &Path) -> String {
    let config = dir.join("req.cnf");
    let words = "[req]\ndistinguished_name=dn\nx509_extensions=v3\nprompt=no\n[dn]\nCN=localhost\n[v3]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";
    std::fs::write(&config, words).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config"])
        .arg(&config)
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .output()
        .expect("openssl is missing; tests/run installs it");
    assert!(made.status.success());
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(dir.join("cert.pem"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    shown.trim().split_once('=').unwrap().1.to_owned()
}

/// A bare host with a certificate of its own, which is made in `dir`, and its thumbprint.
pub fn with_certificate(dir: &Path, listen: &str) -> (Sim, String) {
    std::fs::create_dir(dir).unwrap();
    let thumbprint = certificate(dir);
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    (Sim::start(&["-esx", "-listen", listen, "-cert", cert, "-key", key]), thumbprint)
}

#[test]
fn a_certificate_is_shown_then_pinned_or_vouched_for_and_any_other_refused() {
    for mode in [&["-esx"][..], &[]] {
        let bench = bench(&[]);
        bench.flat("web", 64 << 10);
        bench.stream("db", 64 << 10);
        let thumbprint = certificate(bench.dir.path());
        let (cert, key) = (bench.path("cert.pem"), bench.path("key.pem"));
        let mut arguments = vec!["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap()];
        arguments.extend(mode);
        let sim = Sim::start(&arguments);
        assert!(sim.url.starts_with("https://"));
        let plan = |more: &[&str]| {
            vmglean()
                .env("GOVC_HOST", if mode.is_empty() { "DC0_H0" } else { "" })
                .args(["redeploy", "plan"])
                .arg(bench.path("src"))
                .args(["--power-on", "--server", &sim.url, "--overwrite", "-o"])
                .arg(bench.path("plan.toml"))
                .args(more)
                .output()
                .unwrap()
        };
        let first = plan(&[]);
        assert_eq!(first.status.code(), Some(4), "{}", text(&first));
        assert!(text(&first).contains(&thumbprint), "{}", text(&first));
        let wrong = plan(&["--thumbprint", &"ab".repeat(32)]);
        assert_eq!(wrong.status.code(), Some(4), "{}", text(&wrong));
        assert!(text(&wrong).contains("not the expected AB:AB"), "{}", text(&wrong));
        let sha1 = plan(&["--thumbprint", &"ab".repeat(20)]);
        assert_eq!(sha1.status.code(), Some(2), "{}", text(&sha1));
        let vouched = plan(&["--ca", cert.to_str().unwrap()]);
        assert_eq!(vouched.status.code(), Some(0), "{}", text(&vouched));
        let right = plan(&["--thumbprint", &thumbprint]);
        assert_eq!(right.status.code(), Some(0), "{}", text(&right));
        let plan = std::fs::read_to_string(bench.path("plan.toml")).unwrap();
        assert!(plan.contains(&thumbprint), "the plan keeps the pin");
        // All that follows needs the pin of the plan alone, and goes over TLS all the way.
        bench.edit(|plan| plan.replace("route = \"register\"", "route = \"create\""));
        let applied = bench.apply(&[]);
        assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
        assert!(text(&applied).contains("2 made, 0 there already"), "{}", text(&applied));
        let again = bench.apply(&[]);
        assert!(text(&again).contains("0 made, 2 there already"), "{}", text(&again));
        let undone = bench.undo(&["--yes", "--power-off", "--thumbprint", &thumbprint]);
        assert_eq!(undone.status.code(), Some(0), "{}", text(&undone));
        for name in ["web", "db"] {
            assert!(text(&undone).contains(&format!("removed: machine {name}")));
        }
    }
}

#[test]
fn a_server_whose_certificate_changed_is_told_nothing() {
    let bench = bench(&[]);
    bench.stream("web", 64 << 10);
    let (sim, thumbprint) = with_certificate(&bench.path("first"), "127.0.0.1:0");
    let planned = vmglean()
        .args(["redeploy", "plan"])
        .arg(bench.path("src"))
        .args(["--server", &sim.url, "--thumbprint", &thumbprint, "-o"])
        .arg(bench.path("plan.toml"))
        .output()
        .unwrap();
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));
    let address = sim.address().to_owned();
    drop(sim);
    let (_sim, other) = with_certificate(&bench.path("second"), &address);
    let refused = bench.apply(&[]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert!(text(&refused).contains(&other) && text(&refused).contains(&thumbprint));
    assert!(!bench.path("redeploy.journal.jsonl").exists());
    // Somebody looked and trusts the new one: the machine comes up, over TLS all the way.
    let applied = bench.apply(&["--thumbprint", &other]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
}

#[test]
fn a_wrong_password_is_tried_once_and_named() {
    let bench = bench(&["-esx"]);
    bench.flat("web", 64 << 10);
    let plan = vmglean()
        .env("GOVC_PASSWORD", "not-it-4711")
        .args(["redeploy", "plan"])
        .arg(bench.path("src"))
        .args(["--server", &bench.proxy.url(), "-o"])
        .arg(bench.path("plan.toml"))
        .output()
        .unwrap();
    assert_eq!(plan.status.code(), Some(4), "{}", text(&plan));
    assert!(text(&plan).contains("InvalidLogin") && text(&plan).contains("not tried again"));
    assert!(!text(&plan).contains("not-it-4711"));
    assert_eq!(bench.proxy.calls("Login"), 1);
    assert!(!bench.path("plan.toml").exists());
}

#[test]
fn no_server_no_user_and_no_password_are_one_line_each() {
    let bench = bench(&["-esx"]);
    bench.flat("web", 64 << 10);
    let plan = |server: &str, change: &dyn Fn(&mut Command)| {
        let mut command = vmglean();
        command.args(["redeploy", "plan"]).arg(bench.path("src")).arg("-o").arg(bench.path("p"));
        if !server.is_empty() {
            command.args(["--server", server]);
        }
        change(&mut command);
        command.output().unwrap()
    };
    let none = plan("", &|_| {});
    assert_eq!(none.status.code(), Some(2), "{}", text(&none));
    let user = plan(&bench.proxy.url(), &|command| {
        command.env_remove("GOVC_USERNAME");
    });
    assert_eq!(user.status.code(), Some(2), "{}", text(&user));
    let password = plan(&bench.proxy.url(), &|command| {
        command.env_remove("GOVC_PASSWORD").stdin(std::process::Stdio::null());
    });
    assert_eq!(password.status.code(), Some(2), "{}", text(&password));
    let shown = plan("https://root:hunter2@127.0.0.1", &|_| {});
    assert_eq!(shown.status.code(), Some(2), "{}", text(&shown));
    assert!(!text(&shown).contains("hunter2"));
    let gone = plan("http://127.0.0.1:1", &|_| {});
    assert_eq!(gone.status.code(), Some(74), "{}", text(&gone));
    for said in [none, user, password, shown, gone] {
        assert_eq!(text(&said).trim().lines().count(), 1, "{}", text(&said));
    }
}
