//! The bounded tree.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> (Option<Element>, Vec<String>) {
    let mut defects = DefectList::new("X");
    let root = parse(text.as_bytes(), "R", &mut defects);
    (root, defects.finish().iter().map(ToString::to_string).collect())
}

#[test]
fn prefixes_entities_and_cdata_are_read() {
    let (root, defects) = read(
        "<?xml version=\"1.0\"?><n:R xmlns:n=\"u\" n:a=\"1&lt;2\"><b>x&amp;y&#65;<![CDATA[<z>]]></b></n:R>",
    );
    assert_eq!(defects, Vec::<String>::new());
    let root = root.unwrap();
    assert_eq!(root.attribute("a"), Some("1<2"));
    assert_eq!(root.child_text("b"), Some("x&yA<z>"));
}

#[test]
fn each_bad_document_is_named() {
    for (text, defect) in [
        ("", "X.root at 0x0: <R> is missing"),
        ("<Q/>", "X.root at 0x0: is <Q>, expected <R>"),
        ("<R><a>x", "X.end tag at 0x7: </a> is missing"),
        ("<R>\n<a></b></R>", "X.line at 0x7: line 2 is not understood: \"<a></b></R>\""),
        ("<R/>\ntail", "X.line at 0x4: line 1 is not understood: \"<R/>\""),
        ("<R><a>\u{1}</a></R>", "X.control character at 0x6: unknown value 0x1"),
        ("<R>&bomb;</R>", "X.entity at 0x3: uses an entity of its own, which is not supported"),
        (
            "<!DOCTYPE R [<!ENTITY bomb \"x\">]><R/>",
            "X.DOCTYPE at 0x0: uses a document type, which is not supported",
        ),
    ] {
        assert_eq!(read(text).1.first().map(String::as_str), Some(defect), "{text}");
    }
}

#[test]
fn depth_and_count_are_bounded() {
    let (_, defects) = read(&("<R>".to_owned() + &"<a>".repeat(100_000)));
    assert_eq!(defects[0], "X.depth at 0xc0: 65 passes the limit of 64");
    let (root, defects) = read(&("<R>".to_owned() + &"<a/>".repeat(70_000) + "</R>"));
    assert!(defects[0].ends_with("65537 passes the limit of 65536"));
    assert_eq!(root.unwrap().children.len(), 65_535);
}

#[test]
fn another_declared_charset_is_decoded() {
    let mut defects = DefectList::new("X");
    let text = b"<?xml version='1.0' encoding='windows-1252'?><R>\xe4</R>";
    assert_eq!(parse(text, "R", &mut defects).unwrap().text, "\u{e4}");
    assert!(defects.finish().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_panic(text in "(<|>|/|R|a|=|\"|&|;|#|<!\\[CDATA\\[|\\]\\]>|<!--|-->|<\\?| |\n|é){0,60}") {
        let _ = read(&text);
    }
}
