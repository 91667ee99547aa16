//! Bad input: a clear line, the exit code of the contract, and the rest of the sweep goes on.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, fs::symlink},
    path::Path,
};

use crate::run::{
    BASE, codes, configure, descriptor, folder, machine, made, sample_machine, shimmed,
    unprivileged, vmglean,
};
use serde_json::Value;

/// Findings of the record that carry `code`, wherever they stand.
fn findings<'a>(record: &'a Value, code: &str) -> Vec<&'a Value> {
    let machines = record["machines"].as_array().unwrap().iter();
    let of = machines.chain([record]).filter_map(|place| place["findings"].as_array());
    of.flatten().filter(|finding| finding["code"] == code).collect()
}

/// What the one finding with `code` says, and what to do next.
fn told(record: &Value, code: &str) -> (String, String) {
    let found = findings(record, code);
    assert_eq!(found.len(), 1, "{code}: {found:#?}\n{record:#}");
    let word = |key: &str| found[0][key].as_str().unwrap_or_default().to_owned();
    (word("what"), word("next"))
}

/// Beside whatever went wrong stands a machine that must still be judged.
fn still_judged(record: &Value) {
    assert_eq!(machine(record, "web01")["verdict"], "untouched");
}

#[test]
fn an_empty_folder_is_no_clean_datastore() {
    let root = folder();
    fs::create_dir(root.path().join("ds")).unwrap();
    let done = vmglean(root.path(), &["sweep", "ds"]);
    assert_eq!(done.code, Some(1));
    assert!(done.text().contains(
        "  ! ds: no file lies there; check the path and whether the datastore is mounted \
         [sweep.empty]\n"
    ));
}

#[test]
fn files_without_a_machine_among_them_are_told() {
    let root = folder();
    fs::write(root.path().join("notes.txt"), "to do").unwrap();
    let done = vmglean(root.path(), &["sweep", "--json", "."]);
    assert_eq!(done.code, Some(1));
    let said = told(&done.json(), "sweep.no-machine");
    assert_eq!(said.0, "no virtual machine was found among the files there");
    assert_eq!(said.1, "name the folder that holds the machines' folders");
}

#[test]
fn what_may_not_be_read_is_listed_and_is_not_called_lost() {
    let root = folder();
    for name in ["web01", "app01", "files01"] {
        sample_machine(root.path(), name);
    }
    let close = |path: &str| {
        fs::set_permissions(root.path().join(path), fs::Permissions::from_mode(0o0)).unwrap();
    };
    close("app01");
    close("files01/files01.vmx");
    let done = unprivileged(root.path(), &["sweep", "--json", "."]);
    assert_eq!(done.code, Some(3), "{}", done.err);
    let record = done.json();
    still_judged(&record);
    let listed: Vec<(&str, &str, &str)> = record["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| ["path", "error", "next"].map(|key| one[key].as_str().unwrap()).into())
        .collect();
    assert_eq!(
        listed,
        [
            (
                "./app01",
                "Permission denied (os error 13)",
                "run with the right to list it, or name it as a source of its own"
            ),
            (
                "./files01/files01.vmx",
                "not opened: Permission denied (os error 13)",
                "run with the right to read it"
            ),
        ]
    );
    let closed = machine(&record, "files01");
    assert_eq!(closed["config"]["state"], "unreadable");
    assert_eq!(closed["verdict"], "undetermined");
    assert_eq!(closed["route"], "examine");
    assert_eq!(closed["next_command"], "vmglean inspect ./files01/files01.vmx");
    fs::set_permissions(root.path().join("app01"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_disk_that_may_not_be_read_is_neither_intact_nor_lost() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let flat = root.path().join("web01/web01-flat.vmdk");
    fs::set_permissions(&flat, fs::Permissions::from_mode(0o0)).unwrap();
    let done = unprivileged(root.path(), &["sweep", "--json", "."]);
    assert_eq!(done.code, Some(3));
    let record = done.json();
    let disk = &machine(&record, "web01")["disks"][0];
    assert_eq!(disk["verdict"], "unreadable");
    assert_eq!(machine(&record, "web01")["verdict"], "undetermined");
}

#[test]
fn a_disk_that_shrinks_while_it_is_read_is_named_with_the_place_where_it_ends() {
    let root = folder();
    for name in ["web01", "files01"] {
        sample_machine(root.path(), name);
    }
    let args = ["sweep", "--json", "--jobs", "1", "."];
    let done = shimmed(root.path(), &args, "files01-flat.vmdk", 4, "truncate 300000");
    assert_eq!(done.code, Some(3), "{}", done.err);
    let record = done.json();
    still_judged(&record);
    let hit = machine(&record, "files01");
    assert_ne!(hit["verdict"], "untouched", "{hit:#}");
    assert_ne!(hit["disks"][0]["verdict"], "untouched", "{hit:#}");
    let found = findings(&record, "file.unreadable-range");
    assert!(!found.is_empty());
    for finding in &found {
        let what = finding["what"].as_str().unwrap();
        assert!(what.contains("the source ends at 0x493e0"), "{what}");
        assert_eq!(finding["path"], "./files01/files01-flat.vmdk");
    }
    let listed = record["unreadable"].as_array().unwrap();
    assert!(listed.iter().all(|one| one["path"] == "./files01/files01-flat.vmdk"), "{listed:?}");
}

#[test]
fn a_link_back_up_is_not_walked_in_circles() {
    let root = folder();
    sample_machine(root.path(), "web01");
    symlink("..", root.path().join("web01/up")).unwrap();
    symlink(".", root.path().join("here")).unwrap();
    let done = vmglean(root.path(), &["sweep", "--json", "."]);
    // Links that nothing names take nothing away from the answer.
    assert_eq!(done.code, Some(0), "{}", done.text());
    let record = done.json();
    still_judged(&record);
    assert_eq!(record["machines"].as_array().unwrap().len(), 1);
    let links = findings(&record, "file.symlink");
    assert_eq!(links.len(), 2);
    assert_eq!(links[0]["what"], "not opened: a symbolic link, which is not followed");
}

#[test]
fn a_descriptor_that_names_itself_is_told() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let place = root.path().join("self");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("disk.vmdk"), descriptor(2048, "disk.vmdk", 1, BASE)).unwrap();
    configure(&place, "disk.vmdk");
    let done = vmglean(root.path(), &["sweep", "--json", "."]);
    assert_eq!(done.code, Some(1));
    let record = done.json();
    still_judged(&record);
    let said = told(&record, "chain.extent-is-descriptor");
    assert_eq!(said.0, "extent \"disk.vmdk\" is the descriptor itself");
    assert_eq!(machine(&record, "self")["verdict"], "incomplete");
    let inspected = vmglean(&place, &["inspect", "--json", "disk.vmdk"]);
    assert_eq!(inspected.code, Some(1), "{}", inspected.text());
}

#[test]
fn two_descriptors_that_name_each_other_end_the_chain_and_not_the_program() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let place = root.path().join("two");
    fs::create_dir(&place).unwrap();
    for (name, other, cid) in [("a", "b", 1_u32), ("b", "a", 2)] {
        let more = format!("parentCID={:08x}\nparentFileNameHint=\"{other}.vmdk\"\n", 3 - cid);
        let extent = format!("{name}-flat.vmdk");
        fs::write(place.join(format!("{name}.vmdk")), descriptor(2048, &extent, cid, &more))
            .unwrap();
        fs::write(place.join(extent), vec![b'.'; 1 << 20]).unwrap();
    }
    let bare = vmglean(root.path(), &["sweep", "--json", "."]);
    assert_eq!(bare.code, Some(1));
    let record = bare.json();
    still_judged(&record);
    // Without a configuration neither is known to be the leaf: both are shown.
    let cycles = findings(&record, "chain.cycle");
    assert_eq!(cycles.len(), 2, "{cycles:#?}");
    assert_eq!(cycles[0]["what"], "the chain comes back to a disk it already holds");

    configure(&place, "a.vmdk");
    let record = vmglean(root.path(), &["sweep", "--json", "."]).json();
    assert_eq!(machine(&record, "two")["verdict"], "incomplete");
    assert_eq!(machine(&record, "two")["disks"].as_array().unwrap().len(), 1);
    let inspected = vmglean(&place, &["inspect", "--json", "a.vmdk"]);
    assert_eq!(inspected.code, Some(1));
    assert!(codes(&inspected.json()["files"][0]).contains(&"chain.cycle".to_owned()));
}

#[test]
fn a_capacity_of_2_to_the_63_is_named_and_not_computed_with() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let place = root.path().join("huge");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("disk.vmdk"), descriptor(1 << 63, "disk-flat.vmdk", 1, BASE)).unwrap();
    fs::write(place.join("disk-flat.vmdk"), vec![b'.'; 1 << 20]).unwrap();
    configure(&place, "disk.vmdk");
    let done = vmglean(root.path(), &["sweep", "--json", "."]);
    assert_eq!(done.code, Some(1));
    let record = done.json();
    still_judged(&record);
    let said = told(&record, "chain.capacity-impossible");
    assert_eq!(said.0, "its extent lines add up to more than any disk can hold");
    assert_eq!(
        told(&record, "file.defect").0,
        "Descriptor.capacity at 0x0: 9223372036854775808 is outside 1..=36028797018963967"
    );
    assert_ne!(machine(&record, "huge")["verdict"], "untouched");
    assert_eq!(vmglean(&place, &["inspect", "disk.vmdk"]).code, Some(1));
}

#[test]
fn a_descriptor_of_a_gibibyte_is_not_read_whole() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let place = root.path().join("giant");
    fs::create_dir(&place).unwrap();
    let path = place.join("disk.vmdk");
    fs::write(&path, descriptor(2048, "disk-flat.vmdk", 1, BASE)).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    let web01 = root.path().join("web01/web01-flat.vmdk");
    fs::copy(web01, place.join("disk-flat.vmdk")).unwrap();
    configure(&place, "disk.vmdk");
    let done = vmglean(root.path(), &["sweep", "--json", "."]);
    assert_eq!(done.code, Some(1));
    let record = done.json();
    still_judged(&record);
    let said = told(&record, "file.defect");
    assert_eq!(said.0, "Descriptor.length at 0x0: 1073741824 passes the limit of 1048576");
    assert_eq!(said.1, "no more than that was read; see what else lies in it");
    let read = record["run"]["read_bytes"].as_u64().unwrap();
    assert!(read < 8 << 20, "{read} bytes were read");
    let inspected = vmglean(&place, &["inspect", "--json", "disk.vmdk"]);
    assert_eq!(inspected.code, Some(1));
    assert_eq!(inspected.json()["files"][0]["defects"][0]["field"], "length");
}

#[test]
fn names_with_line_ends_and_names_that_are_no_text_stay_on_their_line_and_in_the_record() {
    let root = folder();
    let made = made();
    let names: [&[u8]; 2] = [b"new\nline\x1b[31m", b"no \xff\xfe text"];
    for name in names {
        let place = root.path().join(OsStr::from_bytes(name));
        fs::create_dir(&place).unwrap();
        for (path, content) in &made.files {
            if let Some((_, file)) = path.split_once("/web01/")
                && !file.contains("_1-flat")
            {
                fs::write(place.join(file), content).unwrap();
            }
        }
    }
    let done = vmglean(root.path(), &["sweep", "--json", "."]);
    assert_eq!(done.code, Some(0), "{}", done.text());
    let record = done.json();
    let machines = record["machines"].as_array().unwrap();
    assert_eq!(machines.len(), 2);
    assert_eq!(machines[0]["folder"], "./new\nline\u{1b}[31m");
    // The exact bytes of "./no \xff\xfe text".
    assert_eq!(machines[1]["folder"]["path_b64"], "Li9ubyD//iB0ZXh0");
    assert_ne!(machines[0]["id"], machines[1]["id"]);
    let text = vmglean(root.path(), &["sweep", "--all", "."]).text();
    assert!(!text.contains("new\nline") && !text.contains('\u{1b}'), "{text}");
    // What is to be typed next leads a shell to the very folder.
    for (machine, name) in machines.iter().zip(names) {
        let command = machine["next_command"].as_str().unwrap();
        let words = command.strip_prefix("vmglean sweep --full ").unwrap();
        let echo = format!("printf %s {words}");
        let said = std::process::Command::new("bash").args(["-c", &echo]).output().unwrap();
        assert_eq!(said.stdout, [b"./", name].concat());
    }
}

#[test]
fn a_fifo_named_as_an_extent_is_never_opened() {
    let root = folder();
    sample_machine(root.path(), "web01");
    let place = root.path().join("pipe");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("disk.vmdk"), descriptor(2048, "disk-flat.vmdk", 1, BASE)).unwrap();
    crate::run::tool(&place, "mkfifo", &["disk-flat.vmdk"]);
    configure(&place, "disk.vmdk");
    // Opening it would wait for a writer for ever.
    let done = vmglean(root.path(), &["sweep", "--json", "."]);
    assert_eq!(done.code, Some(1));
    let record = done.json();
    still_judged(&record);
    assert_eq!(
        told(&record, "chain.extent-refused").0,
        "a descriptor names it as an extent, and it is a FIFO, not a regular file"
    );
    assert_eq!(machine(&record, "pipe")["verdict"], "incomplete");
    assert_eq!(machine(&record, "pipe")["route"], "examine");
    let inspected = vmglean(&place, &["inspect", "--json", "disk.vmdk", "disk-flat.vmdk"]);
    assert_eq!(inspected.code, Some(3), "{}", inspected.text());
}

/// The line that a refusal says, and that nothing came of it.
fn refused(folder: &Path, args: &[&str], line: &str) {
    let done = vmglean(folder, args);
    assert_eq!((done.code, done.err.as_str()), (Some(4), line), "{args:?}");
    assert!(done.out.is_empty());
}

#[test]
fn outputs_and_state_inside_a_source_are_refused() {
    let root = folder();
    sample_machine(root.path(), "web01");
    symlink("web01", root.path().join("linked")).unwrap();
    let inside = |path: &str| {
        format!(
            "vmglean: {path} lies inside the source web01; nothing is written there: name a \
             place outside\n"
        )
    };
    let before = fs::read_dir(root.path().join("web01")).unwrap().count();
    for path in ["web01/x.html", "linked/x.html", "web01/web01.vmx", "./web01/../web01/x"] {
        refused(root.path(), &["sweep", "--html", path, "web01"], &inside(path));
        refused(root.path(), &["sweep", "--state", path, "web01"], &inside(path));
        refused(root.path(), &["sweep", "--overwrite", "--html", path, "web01"], &inside(path));
    }
    assert_eq!(fs::read_dir(root.path().join("web01")).unwrap().count(), before);
    // The folder round a single file is evidence too.
    let done = vmglean(root.path(), &["sweep", "--html", "web01/x", "web01/web01.vmx"]);
    assert_eq!(done.code, Some(4));
}

#[test]
fn a_single_file_is_judged_with_what_lies_beside_it_and_nothing_else_is() {
    let root = folder();
    let erp = "erp01";
    sample_machine(root.path(), erp);
    let place = root.path().join(erp);
    fs::write(place.join("other.vmdk"), descriptor(8, "gone-flat.vmdk", 77, BASE)).unwrap();
    for leaf in ["erp01.vmx", "erp01-000001.vmdk"] {
        let path = format!("{erp}/{leaf}");
        let record = vmglean(root.path(), &["sweep", "--json", &path]).json();
        let machines = record["machines"].as_array().unwrap();
        assert_eq!(machines.len(), 1, "{leaf}");
        assert_eq!(machines[0]["verdict"], "partly-encrypted", "{leaf}");
        assert_eq!(machines[0]["route"], "rollback-snapshot", "{leaf}");
        assert_eq!(record["sources"][0]["files"], 1, "{leaf}");
        assert_eq!(record["orphans"], serde_json::json!([]), "{leaf}");
    }
}
