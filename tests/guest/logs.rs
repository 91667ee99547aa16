//! Event logs rebuilt from the chunks that an attack spared.

use std::{fs, ops::Range, sync::atomic::AtomicBool};

use vmglean::{
    guest::{
        EventLog, Files, Ground, GuestFile, Stream, Verdict, get::Writer, scan::scan,
        volumes::volumes,
    },
    report::files::ManifestLine,
    triage::judge::{Run, State},
};
use vmglean_forge::{
    damage::{Damage, Geometry},
    guest::log::event_log,
};

use super::{
    disk::{partitioned, sha, tool},
    files, path, true_map,
};

const CHUNK: u64 = 65_536;
/// Where the slack of the last chunk is hit.
const SLACK: u64 = 4096 + 11 * CHUNK + 40_960;

/// A disk with two logs, and where the first of them lies on it.
fn disk() -> (Vec<u8>, u64) {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    fs::create_dir_all(source.join("Logs")).unwrap();
    fs::write(source.join("Logs/Security.evtx"), event_log(1000, 12, 200)).unwrap();
    fs::write(source.join("Logs/System.evtx"), event_log(1, 3, 100)).unwrap();
    let image = scratch.path().join("volume.img");
    fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
    let image = image.to_str().unwrap();
    let from = source.to_str().unwrap();
    tool("mke2fs", &["-t", "ext4", "-b", "4096", "-q", "-F", "-m", "0", "-d", from, image]);
    let bytes = partitioned(&fs::read(image).unwrap(), "1:8300");
    let whole = files(&bytes, &true_map(bytes.len() as u64, &[]));
    let security = whole.iter().find(|one| path(&one.file).ends_with("Security.evtx")).unwrap();
    assert_eq!(security.file.verdict, Verdict::Proven);
    let [place] = security.file.places[..] else { panic!("{:?}", security.file.places) };
    (bytes, place.disk_offset.unwrap())
}

/// The head with the first chunk, records of the sixth, and what lies behind those of the last.
fn attacked(bytes: &mut Vec<u8>, at: u64) -> Vec<Range<u64>> {
    let hit = |from: u64, length: u64| at + from..at + from + length;
    let ranges = vec![hit(0, 8192), hit(4096 + 5 * CHUNK + 4096, 4096), hit(SLACK, 8192)];
    Damage::plain(Geometry::Irregular(ranges), 5).apply(bytes).encrypted
}

fn records_that_open(file: &std::path::Path) -> String {
    let told = tool("evtxinfo", &[file.to_str().unwrap()]);
    let line = told.lines().find(|line| line.contains("Number of records")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn of_a_damaged_event_log_the_chunks_that_hold_become_a_log_that_opens() {
    let (mut bytes, at) = disk();
    attacked(&mut bytes, at);
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("evidence")).unwrap();
    let image = scratch.path().join("evidence/dc01-flat.vmdk");
    fs::write(&image, &bytes).unwrap();
    let out = scratch.path().join("out");
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_vmglean"))
        .arg("files")
        .arg(&image)
        .args(["get", "--out", out.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("1 damaged event logs rebuilt"), "{said}");
    let manifest = fs::read_to_string(out.join("MANIFEST.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [line] = &lines.iter().filter(|line| line["verdict"] == "rebuilt").collect::<Vec<_>>()[..]
    else {
        panic!("{manifest}");
    };
    assert_eq!(line["output"], "volume1/Logs/Security (rebuilt).evtx");
    assert_eq!(line["path"], "Logs/Security.evtx");
    let rebuilt = &line["rebuilt"];
    assert_eq!((&rebuilt["chunks"], &rebuilt["records"]), (&10.into(), &2000.into()));
    assert_eq!((&rebuilt["first_record"], &rebuilt["last_record"]), (&1200.into(), &3399.into()));
    assert_eq!(rebuilt["missing"], serde_json::json!([[2000, 2199]]));
    let file = out.join(line["output"].as_str().unwrap());
    assert_eq!(records_that_open(&file), "2000");
    let written = fs::read(&file).unwrap();
    let hex: String = sha(&written).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(line["sha256"], hex.as_str());
    let mut covered = 0;
    for range in line["ranges"].as_array().unwrap() {
        let (from, length) =
            (range["offset_bytes"].as_u64().unwrap(), range["length_bytes"].as_u64().unwrap());
        assert_eq!(from, covered, "{line:#}");
        covered += length;
        if let Some(source) = range["source_offset_bytes"].as_u64() {
            let length = length as usize;
            assert_eq!(written[from as usize..][..length], bytes[source as usize..][..length]);
        }
    }
    assert_eq!(covered, written.len() as u64);
    // The damaged log itself is not written, the whole one is, and is not made anew.
    assert!(!out.join("volume1/Logs/Security.evtx").exists());
    assert_eq!(fs::read(out.join("volume1/Logs/System.evtx")).unwrap(), event_log(1, 3, 100));
}

fn named(ground: &Ground<'_>, name: &str) -> (GuestFile, Stream) {
    let stop = AtomicBool::new(false);
    let hits = scan(ground, 2, &stop, &|_| {});
    let volumes = volumes(ground, &hits);
    let opened = Files::open(ground, &hits, &volumes.volumes[0]).unwrap();
    let mut found = None;
    let mut sink = |file: GuestFile, stream: Option<Stream>| {
        if path(&file).ends_with(name) {
            found = stream.map(|stream| (file, stream));
        }
        Ok(())
    };
    opened.each(true, &stop, &mut sink).unwrap();
    found.unwrap()
}

/// Where 300 bytes of System.evtx lie, and a map that cannot tell them and knows all else.
fn unsure_of_300(bytes: &Vec<u8>) -> (u64, [Run; 3]) {
    let size = bytes.len() as u64;
    let at = {
        let runs = true_map(size, &[]);
        let (file, _) = named(&Ground::new(bytes, &runs), "System.evtx");
        file.places[0].disk_offset.unwrap() + 10_000
    };
    let state = |range, state| Run::new(range, state, 0);
    let made = [
        state(0..at, State::Intact),
        state(at..at + 300, State::Undetermined),
        state(at + 300..size, State::Intact),
    ];
    (at, made)
}

#[test]
fn what_the_map_cannot_tell_of_a_file_that_proves_itself_is_written_as_it_stands() {
    let (bytes, _) = disk();
    let (_, runs) = unsure_of_300(&bytes);
    let ground = Ground::new(&bytes, &runs);
    let (file, stream) = named(&ground, "System.evtx");
    assert_eq!(file.verdict, Verdict::Proven);
    assert_eq!(file.tally.undetermined, 300);
    let out = tempfile::tempdir().unwrap();
    let written = Writer::new(out.path()).file(&ground, &file, &stream).unwrap();
    assert!(written.holes.is_empty());
    assert_eq!(fs::read(out.path().join(written.output)).unwrap(), event_log(1, 3, 100));
}

#[test]
fn nothing_encrypted_goes_into_a_rebuilt_log() {
    let (mut bytes, at) = disk();
    let encrypted = attacked(&mut bytes, at);
    let runs = true_map(bytes.len() as u64, &encrypted);
    let ground = Ground::new(&bytes, &runs);
    let (file, stream) = named(&ground, "Security.evtx");
    assert_eq!(file.verdict, Verdict::Partial);
    let log = EventLog::of(&ground, &file, &stream).unwrap();
    let out = tempfile::tempdir().unwrap();
    let written = Writer::new(out.path()).log(&ground, &file, &stream, &log).unwrap();
    // The last of ten chunks.
    let hole = 4096 + 9 * CHUNK + 40_960;
    assert_eq!(written.holes, [hole..hole + 8192]);
    let made = fs::read(out.path().join(&written.output)).unwrap();
    assert!(made[hole as usize..][..8192].iter().all(|byte| *byte == 0));
    assert_eq!(records_that_open(&out.path().join(&written.output)), "2000");
}

#[test]
fn what_the_map_cannot_tell_of_an_undetermined_file_is_written_as_it_stands_and_listed() {
    let (mut bytes, _) = disk();
    let (at, runs) = unsure_of_300(&bytes);
    // Its checksums no longer speak for it.
    let place = at as usize - 5000;
    bytes[place] ^= 1;
    let ground = Ground::new(&bytes, &runs);
    let (file, stream) = named(&ground, "System.evtx");
    assert_eq!(file.verdict, Verdict::Undetermined);
    let out = tempfile::tempdir().unwrap();
    let written = Writer::new(out.path()).file(&ground, &file, &stream).unwrap();
    assert!(written.holes.is_empty());
    assert_eq!(written.unsure, [10_000..10_300]);
    let mut stands = event_log(1, 3, 100);
    stands[5000] ^= 1;
    assert_eq!(fs::read(out.path().join(&written.output)).unwrap(), stands);
    let name = std::path::PathBuf::from("fs01.raw");
    let line = ManifestLine::new(&name.into(), &file, &written);
    let states: Vec<(u64, u64, &str)> = line
        .ranges
        .iter()
        .map(|range| (range.offset_bytes, range.length_bytes, range.state.as_str()))
        .collect();
    let end = stands.len() as u64 - 10_300;
    let expected = [(0, 10_000, "intact"), (10_000, 300, "undetermined"), (10_300, end, "intact")];
    assert_eq!(states, expected);
}
