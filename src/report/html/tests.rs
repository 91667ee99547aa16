//! The page loads nothing, escapes everything, and holds together as HTML.

use super::{Pictures, SCRIPT, write_sweep};
use crate::report::{made, record::SweepRecord};

fn page(record: &SweepRecord, pictures: &Pictures) -> String {
    let mut out = Vec::new();
    write_sweep(&mut out, record, pictures).unwrap();
    String::from_utf8(out).unwrap()
}

/// The tags of `html` in order, without script and style; panics where they do not nest.
fn tags(html: &str) -> Vec<&str> {
    const VOID: [&str; 4] = ["meta", "input", "!DOCTYPE", "rect"];
    let mut open = Vec::new();
    let mut all = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        let name = tag.split([' ', '/']).find(|t| !t.is_empty()).expect("a tag has a name");
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "closing tags match");
            continue;
        }
        all.push(tag);
        if name == "script" || name == "style" {
            let close = format!("</{name}>");
            let at = rest.find(&close).expect("script and style end");
            rest = &rest[at + close.len()..];
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    all
}

#[test]
fn every_tag_is_closed_in_order() {
    let mut empty = SweepRecord::empty();
    empty.sum(0);
    for record in [made::small(), made::large(40), empty] {
        let html = page(&record, &Pictures::new());
        let all = tags(&html);
        assert!(html.starts_with("<!DOCTYPE html>"), "{}", &html[..40]);
        let machines = all.iter().filter(|t| t.starts_with(r#"tbody class="machine""#)).count();
        assert_eq!(machines, record.machines.len());
    }
}

#[test]
fn the_page_loads_nothing_and_links_nowhere() {
    let html = page(&made::small(), &Pictures::new());
    for tag in tags(&html) {
        let name = tag.split(' ').next().unwrap();
        assert!(!["link", "img", "iframe", "object", "embed", "base", "a", "form"].contains(&name));
        let mut attributes = tag.split(' ').skip(1).filter_map(|a| a.split_once('='));
        assert!(
            attributes.all(|(k, v)| {
                !["src", "href", "xlink:href", "srcset", "action", "poster", "data", "style"]
                    .contains(&k)
                    && !k.starts_with("on")
                    && !v.contains("url(")
            }),
            "{tag}"
        );
    }
    // Addresses appear in the quoted note alone, as text.
    assert_eq!(html.matches("http:").count(), 1);
    assert_eq!(html.matches("https:").count(), 0);
    for asset in [super::STYLE, super::SCRIPT, super::FIRST_SCRIPT] {
        for loads in ["url(", "@import", "fetch(", "import(", "XMLHttpRequest", "//"] {
            let comments = loads == "//"
                && asset
                    .lines()
                    .all(|l| l.split_once("//").is_none_or(|(before, _)| before.trim().is_empty()));
            assert!(comments || !asset.contains(loads), "{loads}");
        }
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn only_our_two_scripts_may_run_and_their_hashes_are_those_of_the_page() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};
    let html = page(&made::small(), &Pictures::new());
    let bodies: Vec<&str> = html
        .split("<script>")
        .skip(1)
        .map(|rest| rest.split_once("</script>").unwrap().0)
        .collect();
    assert_eq!(bodies.len(), 2);
    for body in bodies {
        let hash = STANDARD.encode(Sha256::digest(body));
        assert!(html.contains(&format!("'sha256-{hash}'")), "{body}");
    }
    assert!(!SCRIPT.contains("innerHTML"));
}

#[test]
fn hostile_text_is_escaped_wherever_it_stands() {
    let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&\u{202e}\n\u{1b}[2J";
    let mut record = made::small();
    let path = || crate::report::record::RecordPath::from(evil);
    record.sources[0].path = path();
    let machine = &mut record.machines[2];
    for text in [&mut machine.id, &mut machine.name, &mut machine.reason, &mut machine.next_command]
    {
        *text = evil.into();
    }
    let finding = &mut machine.findings[0];
    for text in [&mut finding.code, &mut finding.path, &mut finding.what] {
        *text = evil.into();
    }
    machine.folder = path();
    machine.config.source = Some(path());
    let disk = &mut machine.disks[0];
    disk.leaf = path();
    disk.chain = vec![path()];
    disk.family = Some(evil.into());
    disk.reason = evil.into();
    disk.strip = evil.into();
    disk.evidence[0].detail = evil.into();
    let note = &mut record.notes[0];
    note.path = path();
    note.families = vec![evil.into()];
    note.victim_id = Some(evil.into());
    note.extension = Some(evil.into());
    note.quote = evil.into();
    note.rests_on = vec![evil.into()];
    record.families[0].name = evil.into();
    record.families[0].rests_on = vec![evil.into()];
    record.orphans[0].path = path();
    record.orphans[0].kind = evil.into();
    record.orphans[0].candidates[0].machine = evil.into();
    record.orphans[0].candidates[0].why = evil.into();
    record.unreadable[0].path = path();
    record.unreadable[0].error = evil.into();
    record.unreadable[0].next = evil.into();
    let run = record.run.as_mut().unwrap();
    run.arguments = vec![path()];
    run.version = evil.into();
    let html = page(&record, &Pictures::new());
    assert!(!html.contains("<script>alert"));
    assert!(!html.contains("<img"));
    assert!(!html.contains(['\u{202e}', '\u{1b}']));
    assert_eq!(tags(&html).len(), tags(&page(&record, &Pictures::new())).len());
}

#[test]
fn a_picture_stands_with_its_disk_unless_it_could_load_something() {
    let record = made::small();
    let id = record.machines[2].id.clone();
    let drawing = r##"<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect fill="#123456" width="9" height="9"/></svg>"##;
    let with = page(&record, &Pictures::from([((id.clone(), 0), drawing.to_owned())]));
    assert!(with.contains(r##"<div class="picture"><svg viewBox="0 0 9 9"><rect fill="#123456""##));
    for bad in [
        r#"<svg><script>alert(1)</script></svg>"#,
        r#"<svg><a href="x"/></svg>"#,
        r#"<svg><image src="x"/></svg>"#,
        r#"<svg><rect fill="url(http://x)"/></svg>"#,
        "no drawing",
    ] {
        let without = page(&record, &Pictures::from([((id.clone(), 0), bad.to_owned())]));
        assert!(!without.contains(r#"<div class="picture">"#), "{bad}");
    }
}

#[test]
fn a_disk_mapped_byte_by_byte_shows_its_map_as_rows() {
    let mut record = made::small();
    let disk = &mut record.machines[2].disks[0];
    disk.strip = "e".repeat(128) + &"i".repeat(1920) + &".".repeat(2048);
    disk.capacity_bytes = Some(32 << 30);
    let html = page(&record, &Pictures::new());
    tags(&html);
    let picture = html.split(r#"<div class="picture">"#).nth(1).unwrap();
    let picture = picture.split("</svg>").next().unwrap();
    let rows = |class: &str| picture.matches(&format!(r#"<rect class="{class}""#)).count();
    assert_eq!((rows("e"), rows("i"), rows("z")), (1, 15, 16));
    assert!(picture.contains(">16.0 GiB<") || picture.contains(">16 GiB<"), "{picture}");
}

#[test]
fn the_same_record_gives_the_same_page_and_an_empty_one_says_so() {
    let record = made::large(60);
    assert_eq!(page(&record, &Pictures::new()), page(&record, &Pictures::new()));
    let mut empty = SweepRecord::empty();
    empty.sum(0);
    assert!(page(&empty, &Pictures::new()).contains("No machine was found here."));
}
