//! Small XML documents as a bounded tree: what `.vmxf`, OVF and hostd's files need.
//!
//! Names without their namespace prefix. No entity but the five of XML and character references;
//! a document type is refused as a defect and stepped over. A torn document gives the tree up to
//! the tear.

#[cfg(test)]
mod tests;

use quick_xml::{
    Reader,
    escape::{resolve_xml_entity, unescape},
    events::{BytesStart, Event},
};

use crate::{
    defect::DefectKind,
    dict::{Charset, DefectList, offset, shorten},
    units::{ByteOffset, Bytes},
};

/// Most bytes read of one document.
pub(crate) const MAX_XML_BYTES: usize = 16 << 20;
const MAX_DEPTH: usize = 64;
const MAX_ELEMENTS: usize = 1 << 16;

/// An element with its text and children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    /// Name without prefix, value; in order.
    pub(crate) attributes: Vec<(String, String)>,
    /// All text directly inside, joined; white space at both ends removed.
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
    pub(crate) at: ByteOffset,
    pub(crate) length: Bytes,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// Every element of that name at any depth, in document order.
    pub(crate) fn descendants<'a>(&'a self, name: &'a str) -> Vec<&'a Element> {
        let mut found = Vec::new();
        let mut open: Vec<&Element> = vec![self];
        while let Some(element) = open.pop() {
            if element.name == name {
                found.push(element);
            }
            open.extend(element.children.iter().rev());
        }
        found
    }
}

/// Reads a document whose root is called `root`. `None` where there is no such element at all.
pub(crate) fn parse(bytes: &[u8], root: &str, defects: &mut DefectList) -> Option<Element> {
    let whole = bytes.len();
    let bytes = bytes.get(..whole.min(MAX_XML_BYTES)).unwrap_or(bytes);
    if whole > bytes.len() {
        defects.limit("text", bytes.len(), whole, MAX_XML_BYTES);
    }
    let junk = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    if let Some(at) = bytes.iter().position(junk) {
        let value = u64::from(bytes.get(at).copied().unwrap_or_default());
        defects.add("control character", at, DefectKind::Unknown { value });
    }
    let text = decode(bytes, defects);
    let found = Tree::default().read(&text, defects);
    match found {
        Some(element) if element.name == root => Some(element),
        Some(element) => {
            let found = format!("<{}>", shorten(&element.name));
            let kind = DefectKind::Mismatch { expected: format!("<{root}>"), found };
            defects.add_at("root", element.at, kind);
            None
        }
        None => {
            defects.add("root", 0, DefectKind::Missing { what: format!("<{root}>") });
            None
        }
    }
}

fn decode(bytes: &[u8], defects: &mut DefectList) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let head = String::from_utf8_lossy(bytes.get(..bytes.len().min(200)).unwrap_or(bytes));
    let declared = head.split_once("encoding=").and_then(|(_, tail)| {
        let quote = tail.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        tail.get(1..)?.split(quote).next().map(str::to_owned)
    });
    let charset = declared.as_deref().and_then(Charset::named).unwrap_or_default();
    let (text, bad) = charset.decode(bytes);
    if bad {
        let at = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
        let encoding = charset.name().to_owned();
        defects.add("text", at, DefectKind::Encoding { encoding });
    }
    text
}

#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn read(mut self, text: &str, defects: &mut DefectList) -> Option<Element> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        loop {
            let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(_) => {
                    let at = usize::try_from(reader.error_position()).unwrap_or(at).min(text.len());
                    syntax(text, at, defects);
                    break;
                }
            };
            match event {
                Event::Start(tag) => {
                    if !self.start(&tag, at, text, defects) {
                        break;
                    }
                }
                Event::Empty(tag) => {
                    if !self.start(&tag, at, text, defects) {
                        break;
                    }
                    self.end(reader.buffer_position());
                }
                Event::End(_) => self.end(reader.buffer_position()),
                Event::Text(words) => self.text(&words.into_inner(), at, text, defects),
                Event::CData(words) => self.text(&words.into_inner(), at, text, defects),
                Event::GeneralRef(reference) => {
                    let resolved = match reference.resolve_char_ref() {
                        Ok(Some(character)) => Some(character.to_string()),
                        Ok(None) => resolve_xml_entity(&reference.into_inner()).map(str::to_owned),
                        Err(_) => None,
                    };
                    match resolved {
                        Some(words) => self.text(&words, at, text, defects),
                        None => {
                            let feature = "an entity of its own".to_owned();
                            defects.add("entity", at, DefectKind::Unsupported { feature });
                        }
                    }
                }
                Event::DocType(_) => {
                    let feature = "a document type".to_owned();
                    defects.add("DOCTYPE", at, DefectKind::Unsupported { feature });
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        // What is still open was cut: keep what it held.
        if let Some(inner) = self.open.last() {
            let what = format!("</{}>", shorten(&inner.name));
            defects.add("end tag", text.len(), DefectKind::Missing { what });
        }
        while !self.open.is_empty() {
            self.end(u64::try_from(text.len()).unwrap_or(u64::MAX));
        }
        self.root
    }

    fn start(&mut self, tag: &BytesStart, at: usize, text: &str, defects: &mut DefectList) -> bool {
        if self.root.is_some() {
            // A second root is no part of the document.
            syntax(text, at, defects);
            return false;
        }
        if self.open.len() >= MAX_DEPTH {
            defects.limit("depth", at, MAX_DEPTH.saturating_add(1), MAX_DEPTH);
            return false;
        }
        self.elements = self.elements.saturating_add(1);
        if self.elements > MAX_ELEMENTS {
            defects.limit("elements", at, self.elements, MAX_ELEMENTS);
            return false;
        }
        let mut element = Element {
            name: local(tag.name().as_ref()).to_owned(),
            at: offset(at),
            ..Element::default()
        };
        for attribute in tag.attributes() {
            let Ok(attribute) = attribute else {
                syntax(text, at, defects);
                break;
            };
            let name = attribute.key.as_ref();
            if name == "xmlns" || name.starts_with("xmlns:") {
                continue;
            }
            let value = unescape(&attribute.value).map_or_else(
                |_| {
                    let feature = "an entity of its own".to_owned();
                    defects.add("entity", at, DefectKind::Unsupported { feature });
                    attribute.value.to_string()
                },
                std::borrow::Cow::into_owned,
            );
            element.attributes.push((local(name).to_owned(), value));
        }
        self.open.push(element);
        true
    }

    fn end(&mut self, end: u64) {
        let Some(mut element) = self.open.pop() else { return };
        element.length = Bytes(end.saturating_sub(element.at.0));
        element.text = element.text.trim().to_owned();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, words: &str, at: usize, text: &str, defects: &mut DefectList) {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(words),
            None if words.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty() => {}
            None => syntax(text, at, defects),
        }
    }
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

fn syntax(text: &str, at: usize, defects: &mut DefectList) {
    if defects.is_full() {
        // Counting lines again for each of a million bad tags would take minutes.
        let kind = DefectKind::Syntax { line: 0, text: String::new() };
        return defects.add("line", at, kind);
    }
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let breaks = memchr::memchr_iter(b'\n', before).count();
    let line = u32::try_from(breaks).unwrap_or(u32::MAX).saturating_add(1);
    let from = memchr::memrchr(b'\n', before).map_or(0, |found| found.saturating_add(1));
    let shown = text.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    defects.add("line", at, DefectKind::Syntax { line, text: shorten(shown) });
}
