//! `vmglean chain`: what it tells of healthy and of broken chains.

use std::{fs, os::unix::fs::symlink};

use crate::make::{Case, codes, said, vmglean};

#[test]
fn a_healthy_chain_tells_its_links_its_snapshots_and_its_points_in_time() {
    let case = Case::new();
    case.three_links();
    let (code, record) = case.chain("s2.vmdk", &[]);
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(record["schema"], "vmglean.chain/1");
    assert_eq!(record["end"]["kind"], "base");
    let links = record["links"].as_array().unwrap();
    let paths: Vec<_> = links.iter().map(|l| l["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["s2.vmdk", "s1.vmdk", "base.vmdk"]);
    // qemu-img leaves leading zeros out.
    let cid = format!("{:0>8}", case.key("s1.vmdk", "CID"));
    assert_eq!(links[0]["parent_cid"].as_str().unwrap(), cid);
    assert_eq!(links[2]["parent_cid"], serde_json::Value::Null);
    let served: Vec<_> = links.iter().map(|l| l["serves_bytes"].as_u64().unwrap()).collect();
    assert_eq!(served, [65_536, 65_536, (2 << 20) - 65_536]);
    let nodes = record["snapshots"]["nodes"].as_array().unwrap();
    assert_eq!((nodes[0]["link"].as_u64(), nodes[1]["link"].as_u64()), (Some(2), Some(1)));
    assert_eq!(record["snapshots"]["current_uid"], 2);
    let points = record["points"].as_array().unwrap();
    let names: Vec<_> = points.iter().map(|p| p["snapshot"].as_str().unwrap_or("-")).collect();
    assert_eq!(names, ["-", "after patch", "before patch"]);
    assert!(points.iter().all(|p| p["state"] == "whole"), "{record:#}");
}

#[test]
fn points_before_the_attack_come_first() {
    let case = Case::new();
    case.three_links();
    let (_, record) = case.chain("s2.vmdk", &["--attack", "2024-06-12"]);
    let points = record["points"].as_array().unwrap();
    let told: Vec<_> = points
        .iter()
        .map(|p| (p["link"].as_u64().unwrap(), p["before_attack"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, [(2, true), (0, false), (1, false)]);
    assert!(points[0]["command"].as_str().unwrap().contains("--at base.vmdk"), "{record:#}");
}

#[test]
fn the_text_stands_in_a_hundred_columns_and_ends_with_a_command_to_copy() {
    let case = Case::new();
    case.three_links();
    let (code, out, err) = said(&vmglean(&case.ds(), &["chain", "s2.vmdk"]));
    assert_eq!((code, err.as_str()), (0, ""));
    for line in out.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    for part in [
        "64 MiB, 3 links, ends with a base disk",
        "1 before patch: ",
        "1 whole     the running disk",
        "vmglean consolidate s2.vmdk -O flat -o ",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, lines, _) = said(&vmglean(&case.ds(), &["chain", "s2.vmdk", "--jsonl"]));
    assert_eq!(code, 0);
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["record"], "complete");
    assert_eq!(last["lines"].as_u64().unwrap() as usize, lines.lines().count() - 1);
}

#[test]
fn a_missing_middle_link_is_named_with_what_could_be_it() {
    let case = Case::new();
    case.three_links();
    fs::create_dir(case.ds().join("moved")).unwrap();
    fs::rename(case.ds().join("s1.vmdk"), case.ds().join("moved/disk7.vmdk")).unwrap();
    let (code, record) = case.chain("s2.vmdk", &[]);
    assert_eq!(code, 1);
    assert_eq!(record["end"]["kind"], "parent-missing");
    let missing = &record["missing"];
    assert_eq!(missing["hint"], "s1.vmdk");
    let first = &missing["candidates"][0];
    assert_eq!(first["path"], "moved/disk7.vmdk");
    assert!(first["reasons"][0].as_str().unwrap().starts_with("has CID "), "{first}");
    // The base is offered for its size, and told to be another disk by its CID.
    let second = &missing["candidates"][1];
    assert_eq!(second["path"], "base.vmdk");
    assert!(second["against"][0].as_str().unwrap().contains("the child asks for"), "{second}");
    let point = &record["points"][0];
    assert_eq!(point["state"], "damaged");
    assert_eq!(point["lost_bytes"].as_u64().unwrap(), (64 << 20) - 65_536);
}

#[test]
fn a_parent_found_by_its_cid_under_another_name_makes_the_chain_whole() {
    let case = Case::new();
    case.three_links();
    fs::rename(case.ds().join("base.vmdk"), case.ds().join("renamed.vmdk")).unwrap();
    fs::rename(case.ds().join("s1.vmdk"), case.ds().join("s1.vmdk.locked")).unwrap();
    let (code, record) = case.chain("s2.vmdk", &[]);
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(record["end"]["kind"], "base");
    let codes = codes(&record);
    assert!(codes.contains(&"chain.parent-found-by-cid".to_owned()), "{codes:?}");
    assert_eq!(record["links"][1]["renamed"], true);
    assert!(record["attack"]["rests_on"].as_str().unwrap().contains("s1.vmdk.locked"));
}

#[test]
fn a_wrong_parent_cid_is_damage_and_leaves_no_point_whole() {
    let case = Case::new();
    case.three_links();
    let cid = case.key("s2.vmdk", "parentCID");
    case.patch(
        "s2.vmdk",
        &format!("parentCID={cid}"),
        &format!("parentCID={}", &"12345678"[..cid.len()]),
    );
    let (code, record) = case.chain("s2.vmdk", &[]);
    assert_eq!(code, 1);
    assert!(codes(&record).contains(&"chain.cid-mismatch".to_owned()));
    let states: Vec<_> = record["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["link"].as_u64().unwrap(), p["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [(1, "whole"), (2, "whole"), (0, "unproven")]);
}

#[test]
fn cycles_of_any_length_are_an_error_and_never_a_hang() {
    for length in 1..=5 {
        let case = Case::new();
        case.base("subformat=monolithicSparse");
        case.child("base.vmdk", "c0.vmdk", &["write -P 0x33 0 64k"]);
        let bytes = fs::read(case.ds().join("c0.vmdk")).unwrap();
        for n in 0..length {
            fs::write(case.ds().join(format!("c{n}.vmdk")), &bytes).unwrap();
            let next = (n + 1) % length;
            let hint = "parentFileNameHint=\"base.vmdk\"";
            let other = format!("parentFileNameHint=\"c{next}.vmdk\"  ");
            case.patch(&format!("c{n}.vmdk"), hint, &other[..hint.len()]);
        }
        fs::remove_file(case.ds().join("base.vmdk")).unwrap();
        let (code, record) = case.chain("c0.vmdk", &[]);
        assert_eq!((code, record["end"]["kind"].as_str().unwrap()), (1, "cycle"), "{length}");
        assert_eq!(record["links"].as_array().unwrap().len(), length);
    }
}

#[test]
fn a_base_that_was_resized_under_its_snapshots_is_told() {
    let case = Case::new();
    case.three_links();
    let cid = case.key("base.vmdk", "CID");
    case.qemu("qemu-img", &["create", "-q", "-f", "vmdk", "base.vmdk", "80M"]);
    let own = case.key("base.vmdk", "CID");
    case.set_cid("base.vmdk", &own, &cid);
    let (code, record) = case.chain("s2.vmdk", &[]);
    assert_eq!(code, 1);
    assert!(codes(&record).contains(&"chain.capacity-differs".to_owned()), "{record:#}");
}

#[test]
fn extents_that_lead_out_of_the_folder_are_refused_by_name() {
    let case = Case::new();
    fs::write(case.root().join("victim.bin"), vec![b'V'; 1 << 20]).unwrap();
    let outside = case.root().join("victim.bin");
    symlink(&outside, case.ds().join("link.bin")).unwrap();
    let traps = [
        (outside.to_str().unwrap().to_owned(), "chain.extent-outside-root"),
        ("../victim.bin".to_owned(), "chain.extent-outside-root"),
        ("link.bin".to_owned(), "chain.extent-symlink"),
    ];
    for (name, expected) in traps {
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
             createType=\"monolithicFlat\"\nRW 2048 FLAT \"{name}\" 0\n\
             ddb.adapterType = \"lsilogic\"\n"
        );
        fs::write(case.ds().join("trap.vmdk"), text).unwrap();
        let (code, record) = case.chain("trap.vmdk", &[]);
        assert!(code == 1 || code == 3, "{code} {record:#}");
        assert!(codes(&record).contains(&expected.to_owned()), "{name}: {record:#}");
        assert_eq!(record["links"][0]["state"], "missing");
    }
}

#[test]
fn a_chain_of_five_hundred_links_is_told_in_bounded_time() {
    let case = Case::new();
    case.base("subformat=monolithicSparse");
    case.child("base.vmdk", "c.vmdk", &["write -P 0x33 0 64k"]);
    let bytes = fs::read(case.ds().join("c.vmdk")).unwrap();
    // Where qemu-img embeds the descriptor, and how much room it has there.
    let room = 512..512 + 20 * 512;
    let text = String::from_utf8(bytes[room.clone()].to_vec()).unwrap();
    let own = case.key("c.vmdk", "CID");
    let parent = case.key("c.vmdk", "parentCID");
    for n in 0..500_u32 {
        let mut text = text.trim_end_matches('\0').to_owned();
        if n > 0 {
            let hint = |name: &str| format!("parentFileNameHint=\"{name}.vmdk\"");
            let cid = |cid: &str| format!("parentCID={cid}\n");
            text = text.replace(&hint("base"), &hint(&format!("{:04}", n - 1)));
            text = text.replace(&cid(&parent), &cid(&own));
        }
        let mut copy = bytes[..bytes.len().min(0x20000)].to_vec();
        copy[room.clone()].fill(0);
        copy[room.start..room.start + text.len()].copy_from_slice(text.as_bytes());
        fs::write(case.ds().join(format!("{n:04}.vmdk")), copy).unwrap();
    }
    let (_, record) = case.chain("0499.vmdk", &["--samples", "0"]);
    assert_eq!(record["end"]["kind"], "base", "{}", record["end"]);
    assert_eq!(record["links"].as_array().unwrap().len(), 501);
    assert!(record["points"].as_array().unwrap().len() <= 66);
}

#[test]
fn another_disk_under_the_parents_name_is_told_by_its_cid_and_its_size() {
    // Another disk of the same size took the parent's name: nothing read through it is whole.
    let case = Case::new();
    case.three_links();
    case.qemu("qemu-img", &["create", "-q", "-f", "vmdk", "s1.vmdk", "64M"]);
    let (asked, has) = (case.key("s2.vmdk", "parentCID"), case.key("s1.vmdk", "CID"));
    let (code, record) = case.chain("s2.vmdk", &[]);
    assert_eq!(code, 1, "{record:#}");
    let told = record["findings"].as_array().unwrap();
    let told = told.iter().find(|f| f["code"] == "chain.cid-mismatch").unwrap();
    let what = told["what"].as_str().unwrap();
    let written = |cid: &str| format!("{cid:0>8}");
    assert!(what.contains(&format!("a parent with CID {}", written(&asked))), "{what}");
    assert!(what.contains(&format!("s1.vmdk has CID {}", written(&has))), "{what}");
    assert!(told["next"].as_str().unwrap().contains("is another disk"), "{told}");
    let leaf = record["points"].as_array().unwrap().iter().find(|p| p["link"] == 0).unwrap();
    assert_eq!(leaf["state"], "unproven", "{record:#}");

    // The right one lies beside it under a name of its own: its CID speaks for it.
    let case = Case::new();
    case.three_links();
    fs::rename(case.ds().join("s1.vmdk"), case.ds().join("old.vmdk")).unwrap();
    case.qemu("qemu-img", &["create", "-q", "-f", "vmdk", "s1.vmdk", "64M"]);
    let (code, record) = case.chain("s2.vmdk", &[]);
    assert_eq!(code, 0, "{record:#}");
    assert_eq!(record["links"][1]["path"], "old.vmdk");
    assert!(codes(&record).contains(&"chain.parent-found-by-cid".to_owned()));

    // Another size under the same name is told, too.
    let case = Case::new();
    case.three_links();
    case.qemu("qemu-img", &["create", "-q", "-f", "vmdk", "s1.vmdk", "32M"]);
    let (code, record) = case.chain("s2.vmdk", &[]);
    assert_eq!(code, 1);
    let codes = codes(&record);
    for wanted in ["chain.cid-mismatch", "chain.capacity-differs"] {
        assert!(codes.contains(&wanted.to_owned()), "{codes:?}");
    }
}

#[test]
fn a_raw_device_mapping_is_told_and_its_pointer_file_never_taken_for_data() {
    for (kind, pointer) in
        [("vmfsRawDeviceMap", "db-rdm.vmdk"), ("vmfsPassthroughRawDeviceMap", "db-rdmp.vmdk")]
    {
        for delta in [false, true] {
            let case = Case::new();
            let mut cid = "fffffffe".to_owned();
            if delta {
                case.qemu("qemu-img", &["create", "-q", "-f", "vmdk", "db.vmdk", "64M"]);
                case.child("db.vmdk", "leaf.vmdk", &["write -P 0x33 0 64k"]);
                cid = case.key("leaf.vmdk", "parentCID");
            }
            let text = format!(
                "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID={cid}\n\
                 parentCID=ffffffff\ncreateType=\"{kind}\"\n\nRW 131072 VMFSRDM \"{pointer}\"\n\n\
                 ddb.adapterType = \"lsilogic\"\n"
            );
            fs::write(case.ds().join("db.vmdk"), text).unwrap();
            // As long as the LUN, and nothing of it inside.
            fs::write(case.ds().join(pointer), vec![b'P'; 64 << 20]).unwrap();
            let leaf = if delta { "leaf.vmdk" } else { "db.vmdk" };
            let (code, record) = case.chain(leaf, &[]);
            assert!(code == 3 || code == 1, "{kind}: {code} {record:#}");
            let told = record["findings"].as_array().unwrap();
            let told = told.iter().find(|f| f["code"] == "chain.extent-is-device");
            let told = told.unwrap_or_else(|| panic!("{kind}: {record:#}"));
            let what = told["what"].as_str().unwrap();
            assert!(what.contains(pointer) && what.contains("lie on a device"), "{what}");
            assert!(told["next"].as_str().unwrap().contains("image the LUN"), "{told}");
            let base = record["links"].as_array().unwrap().last().unwrap();
            assert_eq!(base["state"], "missing", "{base:#}");
            assert_eq!(base["extents"][0]["path"], serde_json::Value::Null);
            assert!(record["points"].as_array().unwrap().iter().all(|p| p["state"] != "whole"));
            let swept = vmglean(case.root(), &["sweep", "ds", "--json"]);
            let record: serde_json::Value = serde_json::from_slice(&swept.stdout).unwrap();
            for machine in record["machines"].as_array().unwrap() {
                assert_ne!(machine["verdict"], "untouched", "{machine:#}");
                for disk in machine["disks"].as_array().unwrap() {
                    assert_ne!(disk["verdict"], "untouched", "{disk:#}");
                }
            }
        }
    }
}
