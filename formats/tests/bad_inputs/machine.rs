//! `.vmx`, `.vmsd`, `.vmxf`, `vmware.log`.

use vmglean_forge::vm::{
    log::{Form, Log},
    sealed,
    text::{Machine, three_snapshots, vmsd, vmxf},
};
use vmglean_formats::{log::VmwareLog, vmsd::Vmsd, vmx::Vmx, vmxf::Vmxf};

use crate::table::{Table, exact, partial, told};

pub(crate) fn tables() -> Vec<Table> {
    vec![configuration(), snapshots(), foundry(), log()]
}

fn keys(found: &Vmx, right: &Vmx) -> (usize, usize, bool) {
    let all = right.dictionary.effective().count();
    let read = found.dictionary.effective();
    let kept =
        read.filter(|(key, entry)| right.dictionary.value(key) == Some(&entry.value)).count();
    (kept, all, kept < found.dictionary.effective().count())
}

fn configuration() -> Table {
    let mut table = Table::new("vmx");
    let whole = Machine::server("srv").vmx();
    let right = Vmx::parse(&whole).value;
    let judge = |bytes: &[u8]| {
        let found = Vmx::parse(bytes);
        let (kept, all, wrong) = keys(&found.value, &right);
        partial(&found.defects, kept, all, wrong)
    };
    table.hurt("server", &whole, judge);
    for (name, file) in [
        ("passphrase", sealed::passphrase_vmx("Sealed")),
        ("key server", sealed::key_server_vmx("Sealed")),
        ("vTPM", sealed::partial_vmx()),
    ] {
        let right = Vmx::parse(&file).value;
        table.hurt(name, &file, |bytes| {
            let found = Vmx::parse(bytes);
            let (kept, all, wrong) = keys(&found.value, &right);
            partial(&found.defects, kept, all, wrong)
        });
    }
    let shown = |bytes: &[u8]| {
        let found = Vmx::parse(bytes);
        let vmx = &found.value;
        told(&found.defects).unwrap_or_else(|| {
            format!(
                "read: {:?} MiB, {:?} vCPU, hw {:?}, {:?}, {} devices, {} nics, {:?}",
                vmx.memory_mib,
                vmx.vcpus,
                vmx.hardware_version,
                vmx.firmware,
                vmx.devices.len(),
                vmx.nics.len(),
                vmx.encryption
            )
        })
    };
    let base = "config.version = \"8\"\nvirtualHW.version = \"19\"\n";
    for (name, more) in [
        ("a memsize of words", "memsize = \"lots\"\n"),
        ("a negative memsize", "memsize = \"-4\"\n"),
        ("a memsize of 2^64", "memsize = \"18446744073709551616\"\n"),
        ("a memsize with a unit", "memsize = \"4096 MB\"\n"),
        ("an empty memsize", "memsize = \"\"\n"),
        ("a numvcpus of words", "numvcpus = \"two\"\n"),
        ("a firmware nobody knows", "firmware = \"coreboot\"\n"),
        ("a disk without a file", "scsi0:0.present = \"TRUE\"\n"),
        ("a disk at no place", "scsi:.present = \"TRUE\"\nscsi:.fileName = \"a.vmdk\"\n"),
        ("a disk at place 2^64", "scsi0:18446744073709551616.fileName = \"a.vmdk\"\n"),
        ("a disk of a name that leads up", "scsi0:0.fileName = \"../../../etc/passwd\"\n"),
        ("a disk of an empty name", "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"\"\n"),
        ("a card at no place", "ethernet.present = \"TRUE\"\n"),
        ("a card at place 2^64", "ethernet18446744073709551616.present = \"TRUE\"\n"),
        ("a present nobody knows", "scsi0:0.present = \"MAYBE\"\nscsi0:0.fileName = \"a.vmdk\"\n"),
        ("data without its key safe", "encryption.data = \"QUJD\"\n"),
        ("an empty key safe", "encryption.keySafe = \"\"\nencryption.data = \"QUJD\"\n"),
        ("a key safe without data", "encryption.keySafe = \"vmware:key/null\"\n"),
        (
            "data that are no base64",
            "encryption.keySafe = \"vmware:key/null\"\nencryption.data = \"???\"\n",
        ),
        ("empty data", "encryption.keySafe = \"vmware:key/null\"\nencryption.data = \"\"\n"),
        (
            "data one digit short",
            "encryption.keySafe = \"vmware:key/null\"\nencryption.data = \"QUJ\"\n",
        ),
        (
            "a key safe of another scheme",
            "encryption.keySafe = \"http:key/null\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a key safe of an unknown word",
            "encryption.keySafe = \"vmware:key/warp\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a key safe that does not close",
            "encryption.keySafe = \"vmware:key/list/(pair/(null,\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a key safe that closes twice",
            "encryption.keySafe = \"vmware:key/list/(null))\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a pair of two parts",
            "encryption.keySafe = \"vmware:key/pair/(null,a)\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a pair of nothing",
            "encryption.keySafe = \"vmware:key/pair/()\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a phrase of nothing",
            "encryption.keySafe = \"vmware:key/phrase\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a phrase with rounds of words",
            "encryption.keySafe = \"vmware:key/phrase/a/rounds%3dmany\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a key server without a key",
            "encryption.keySafe = \"vmware:key/fqid\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "a percent sign cut short",
            "encryption.keySafe = \"vmware:key/fqid/a/b%4\"\nencryption.data = \"QUJD\"\n",
        ),
        (
            "two key safes",
            "encryption.keySafe = \"vmware:key/null\"\nencryption.keySafe = \"vmware:key/null\"\nencryption.data = \"QUJD\"\n",
        ),
    ] {
        table.add(format!("a machine with {name}"), shown(format!("{base}{more}").as_bytes()));
    }
    let deep = format!(
        "{base}encryption.keySafe = \"vmware:key/{}\"\nencryption.data = \"QUJD\"\n",
        "list/(".repeat(3000)
    );
    table.add("a key safe three thousand lists deep", shown(deep.as_bytes()));
    for (name, text) in [
        ("no version of either kind", "memsize = \"4096\"\n"),
        ("no hardware version", "config.version = \"8\"\n"),
        ("no configuration version", "virtualHW.version = \"19\"\n"),
        ("a hardware version of words", "config.version = \"8\"\nvirtualHW.version = \"new\"\n"),
        (
            "a hardware version twice",
            "config.version = \"8\"\nvirtualHW.version = \"19\"\nvirtualHW.version = \"4\"\n",
        ),
    ] {
        table.add(name, shown(text.as_bytes()));
    }
    table
}

fn snapshots() -> Table {
    let mut table = Table::new("vmsd");
    let whole = vmsd(&three_snapshots(), 3, true);
    let right = Vmsd::parse(&whole).value;
    table.hurt("three snapshots", &whole, |bytes| {
        if bytes.is_empty() {
            return "right: an empty file has no snapshots".to_owned();
        }
        let found = Vmsd::parse(bytes);
        let kept =
            found.value.snapshots.iter().filter(|node| right.snapshots.contains(node)).count();
        partial(&found.defects, kept, right.snapshots.len(), kept < right.snapshots.len())
    });
    let text = String::from_utf8(whole).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let without: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(nth, _)| *nth != number)
            .map(|(_, line)| *line)
            .collect();
        let found = Vmsd::parse((without.join("\n") + "\n").as_bytes());
        let key = line.split(" = ").next().unwrap_or(line);
        // What VMware itself leaves out in some files cannot be missed.
        let optional =
            [".encoding", "snapshot.lastUID", "snapshot.current", "snapshot.needConsolidate"];
        let spare = optional.contains(&key)
            || [".displayName", ".type", ".parent"].iter().any(|end| key.ends_with(end));
        let answer = if spare {
            told(&found.defects).unwrap_or_else(|| "read without it".to_owned())
        } else {
            exact(&found.map(|tree| tree.snapshots), &right.snapshots)
        };
        table.add(format!("without {key}"), answer);
        let (key, _) = line.split_once(" = ").unwrap();
        let mut wrong = lines.clone();
        let other = format!("{key} = \"other words\"");
        wrong[number] = &other;
        let found = Vmsd::parse((wrong.join("\n") + "\n").as_bytes());
        table.add(
            format!("{key} is other words"),
            told(&found.defects)
                .unwrap_or_else(|| format!("read: {} snapshots", found.value.snapshots.len())),
        );
    }
    let shown = |bytes: &[u8]| {
        let found = Vmsd::parse(bytes);
        told(&found.defects).unwrap_or_else(|| {
            format!(
                "read: {} snapshots, current {:?}",
                found.value.snapshots.len(),
                found.value.current
            )
        })
    };
    let node = "snapshot0.uid = \"1\"\nsnapshot0.filename = \"a.vmsn\"\nsnapshot0.createTimeHigh = \"0\"\nsnapshot0.createTimeLow = \"0\"\n";
    for (name, more) in [
        ("a count that is too high", "snapshot.numSnapshots = \"5\"\n"),
        ("a count that is too low", "snapshot.numSnapshots = \"0\"\n"),
        ("a count of 2^64", "snapshot.numSnapshots = \"18446744073709551616\"\n"),
        ("a negative count", "snapshot.numSnapshots = \"-1\"\n"),
        ("no count", ""),
        (
            "a current one that is not there",
            "snapshot.numSnapshots = \"1\"\nsnapshot.current = \"9\"\n",
        ),
        ("a parent that is not there", "snapshot.numSnapshots = \"1\"\nsnapshot0.parent = \"9\"\n"),
        ("itself as its parent", "snapshot.numSnapshots = \"1\"\nsnapshot0.parent = \"1\"\n"),
        ("2^32 disks", "snapshot.numSnapshots = \"1\"\nsnapshot0.numDisks = \"4294967296\"\n"),
        (
            "a disk too few",
            "snapshot.numSnapshots = \"1\"\nsnapshot0.numDisks = \"0\"\nsnapshot0.disk0.fileName = \"a\"\nsnapshot0.disk0.node = \"scsi0:0\"\n",
        ),
        (
            "a disk without a node",
            "snapshot.numSnapshots = \"1\"\nsnapshot0.numDisks = \"1\"\nsnapshot0.disk0.fileName = \"a\"\n",
        ),
        (
            "a disk number of 2^64",
            "snapshot.numSnapshots = \"1\"\nsnapshot0.disk18446744073709551616.node = \"x\"\n",
        ),
        (
            "a snapshot number of 2^64",
            "snapshot.numSnapshots = \"1\"\nsnapshot18446744073709551616.uid = \"7\"\n",
        ),
        (
            "another one of the same uid",
            "snapshot.numSnapshots = \"2\"\nsnapshot1.uid = \"1\"\nsnapshot1.filename = \"b.vmsn\"\nsnapshot1.createTimeHigh = \"0\"\nsnapshot1.createTimeLow = \"0\"\n",
        ),
        ("another one without anything", "snapshot.numSnapshots = \"2\"\nsnapshot1.type = \"1\"\n"),
    ] {
        table.add(format!("a snapshot with {name}"), shown(format!("{node}{more}").as_bytes()));
    }
    for (name, high, low) in [
        ("a time of words", "soon", "0"),
        ("a time above 64 bits", "4294967296", "0"),
        ("a time below 32 bits", "0", "-2147483649"),
        ("an empty time", "", ""),
    ] {
        let text = format!(
            "snapshot0.uid = \"1\"\nsnapshot0.filename = \"a\"\nsnapshot0.createTimeHigh = \"{high}\"\nsnapshot0.createTimeLow = \"{low}\"\nsnapshot.numSnapshots = \"1\"\n"
        );
        table.add(name, shown(text.as_bytes()));
    }
    table
}

fn foundry() -> Table {
    let mut table = Table::new("vmxf");
    let whole = vmxf(&format!("{}.vmx", "n".repeat(900)));
    let right = Vmxf::parse(&whole).value;
    table.hurt("long name", &whole, |bytes| exact(&Vmxf::parse(bytes), &right));
    let shown = |bytes: &[u8]| {
        let found = Vmxf::parse(bytes);
        told(&found.defects).unwrap_or_else(|| format!("read: {:?}", found.value.vmx_path_name))
    };
    table.texts(
        shown,
        &[
            ("nothing", ""),
            ("another root", "<Fowndry/>"),
            ("a root alone", "<Foundry/>"),
            ("a machine alone", "<Foundry><VM/></Foundry>"),
            ("no path", "<Foundry><VM><VMId>1</VMId></VM></Foundry>"),
            ("no id", "<Foundry><VM><vmxPathName>a</vmxPathName></VM></Foundry>"),
            ("an empty path", "<Foundry><VM><VMId>1</VMId><vmxPathName/></VM></Foundry>"),
            ("a path that leads up", "<Foundry><VM><VMId>1</VMId><vmxPathName>../../x</vmxPathName></VM></Foundry>"),
            ("two paths", "<Foundry><VM><VMId>1</VMId><vmxPathName>a</vmxPathName><vmxPathName>b</vmxPathName></VM></Foundry>"),
            ("a tag that does not close", "<Foundry><VM><VMId>1</VMId>"),
            ("tags that cross", "<Foundry><VM></Foundry></VM>"),
            ("an end without a start", "</Foundry>"),
            ("a tag cut short", "<Foundry><VM><VMI"),
            ("an attribute without a value", "<Foundry><VM a><VMId>1</VMId></VM></Foundry>"),
            ("an attribute without quotes", "<Foundry><VM a=b><VMId>1</VMId></VM></Foundry>"),
            ("an entity of its own", "<Foundry><VM><VMId>&bomb;</VMId><vmxPathName>a</vmxPathName></VM></Foundry>"),
            ("a number of no character", "<Foundry><VM><VMId>&#xFFFFFFFF;</VMId><vmxPathName>a</vmxPathName></VM></Foundry>"),
            ("a document type", "<!DOCTYPE Foundry [<!ENTITY a \"b\">]><Foundry/>"),
            ("an outside entity", "<!DOCTYPE Foundry SYSTEM \"file:///etc/passwd\"><Foundry/>"),
            ("text before the root", "x<Foundry/>"),
            ("text behind the root", "<Foundry/>x"),
            ("a second root", "<Foundry/><Foundry/>"),
            ("a comment that does not close", "<Foundry><!-- "),
            ("a CDATA that does not close", "<Foundry><![CDATA["),
            ("a control character", "<Foundry>\x01</Foundry>"),
            ("a NUL", "<Foundry>\0</Foundry>"),
            ("a dictionary", "displayName = \"a\"\n"),
        ],
    );
    table.add("a thousand levels", shown("<Foundry>".repeat(1000).as_bytes()));
    table.add("bytes of no charset", shown(b"<Foundry>\xff\xfe</Foundry>"));
    table.add("UTF-16", shown(b"\xff\xfe<\0F\0"));
    table
}

fn log() -> Table {
    let mut table = Table::new("vmware-log");
    let mut log = Log::new(Form::Level);
    log.start().power_on("/vmfs/volumes/ds/srv/srv.vmx", &Machine::server("srv").pairs(), true);
    log.line("ConfigDB: Setting memsize = \"8192\"").line("VMX exit (0).");
    let whole = log.bytes();
    let right = VmwareLog::parse(&whole).value.config.unwrap();
    table.hurt("one run", &whole, |bytes| {
        let found = VmwareLog::parse(&bytes.to_vec());
        let values: Vec<_> =
            found.value.config.iter().flat_map(|config| config.values.values()).collect();
        let kept =
            values.iter().filter(|one| right.value(&one.key) == one.value.as_deref()).count();
        partial(&found.defects, kept, right.values.len(), kept < values.len())
    });
    let shown = |bytes: &[u8]| {
        let found = VmwareLog::parse(&bytes.to_vec());
        let log = &found.value;
        told(&found.defects).unwrap_or_else(|| {
            format!(
                "read: {} keys, {} chains, {} disks, ends {:?}",
                log.config.as_ref().map_or(0, |config| config.values.len()),
                log.chains.len(),
                log.disks.len(),
                log.end
            )
        })
    };
    table.texts(
        shown,
        &[
            ("nothing", ""),
            ("one line end", "\n"),
            ("prose", "hello\nworld\n"),
            ("a word without a line end", "hello"),
            ("a NUL", "2023-05-06T10:00:00.250Z| vmx| I120: a\0b\n"),
            ("a control character", "2023-05-06T10:00:00.250Z| vmx| I120: a\x01b\n"),
            ("a configuration", "displayName = \"a\"\n"),
        ],
    );
    let start = {
        let mut log = Log::new(Form::Level);
        log.start();
        log
    };
    for (name, line) in [
        ("a section without its head", "DICT   memsize = \"4096\""),
        ("a section of no file", "DICT --- CONFIGURATION"),
        ("a setting without a value", "ConfigDB: Setting memsize"),
        ("a setting without a key", "ConfigDB: Setting = \"1\""),
        ("a setting that does not close", "ConfigDB: Setting memsize = \"81"),
        ("an unsetting of nothing", "ConfigDB: Unsetting"),
        ("an unsetting of everything", "ConfigDB: Unsetting all entries with prefix \"\""),
        ("an unsetting that does not close", "ConfigDB: Unsetting \"mem"),
        ("a disk without a name", "DISK: OPEN scsi0:0 '' persistent R[]"),
        ("a disk whose name does not close", "DISK: OPEN scsi0:0 'a.vmdk persistent R[]"),
        ("a disk of no node", "DISK: OPEN 'a.vmdk' persistent R[]"),
        (
            "a link of no sectors",
            "DISKLIB-LINK  : Opened 'a.vmdk' (0xa): vmfs, many sectors / 16 GB.",
        ),
        (
            "a link of 2^64 sectors",
            "DISKLIB-LINK  : Opened 'a.vmdk' (0xa): vmfs, 18446744073709551616 sectors / 16 GB.",
        ),
        ("a link that does not close", "DISKLIB-LINK  : Opened 'a.vmdk"),
        (
            "an extent of no size",
            "DISKLIB-VMFS  : \"/a-flat.vmdk\" : open successful (10) size = x, hd = 0. Type 3",
        ),
        (
            "an extent of 2^64 bytes",
            "DISKLIB-VMFS  : \"/a-flat.vmdk\" : open successful (10) size = 18446744073709551616, hd = 0. Type 3",
        ),
        ("a geometry of words", "DISK: OPEN 'a.vmdk' Geo (a/b/c) BIOS Geo (0/0/0)"),
        ("a geometry of two numbers", "DISK: OPEN 'a.vmdk' Geo (1/2) BIOS Geo (0/0/0)"),
        ("a uuid of words", "DISK: Disk 'a.vmdk' has UUID 'words'"),
        ("a content id without its old one", "DISKLIB-DDB   : \"longContentID\" = \"aabbccdd\""),
        ("an exit of no code", "VMX exit (x)."),
        ("an exit of 2^64", "VMX exit (18446744073709551616)."),
        ("a crash", "PANIC: ASSERT vmcore/x.c:1"),
    ] {
        let mut log = start.clone();
        log.line(line);
        table.add(format!("a line with {name}"), shown(&log.bytes()));
    }
    let mut long = start.clone();
    long.line(&"x".repeat(70_000));
    table.add("a line of seventy thousand bytes", shown(&long.bytes()));
    table
}
