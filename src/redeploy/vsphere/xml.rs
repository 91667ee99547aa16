//! The XML of vSphere's SOAP: a writer for requests, a bounded tree for replies.
//!
//! Requests are written in the order in which the calls stand; real servers refuse members out of
//! their declared order. Replies are read leniently: unknown members are kept, unknown words too.

use std::{borrow::Cow, fmt::Display};

use quick_xml::{
    NsReader,
    escape::{escape, resolve_xml_entity},
    events::{BytesStart, Event},
    name::ResolveResult,
};

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
const HEAD: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/""#,
    r#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance""#,
    r#" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><e:Body>"#
);
const TAIL: &str = "</e:Body></e:Envelope>";
const MAX_DEPTH: usize = 96;
const MAX_ELEMENTS: usize = 4 << 20;

/// A managed object's address: its kind and the server's id for it.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct MoRef {
    /// `VirtualMachine`, `Datastore`, …
    pub kind: String,
    /// The server's own id, unique within one server.
    pub id: String,
}

impl MoRef {
    /// From its two parts.
    #[must_use]
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned() }
    }
}

impl Display for MoRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// XML in the making.
#[derive(Clone, Debug, Default)]
pub struct Xml {
    text: String,
}

impl Xml {
    /// The envelope that calls `method` on `this` with what `parameters` writes.
    #[must_use]
    pub fn call(method: &str, this: &MoRef, parameters: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self { text: HEAD.to_owned() };
        xml.text.push_str(&format!(r#"<{method} xmlns="urn:vim25">"#));
        xml.object("_this", this);
        parameters(&mut xml);
        xml.text.push_str(&format!("</{method}>{TAIL}"));
        xml.text
    }

    /// An element with what `inner` writes.
    pub fn element(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.text.push_str(&format!("<{name}>"));
        inner(self);
        self.text.push_str(&format!("</{name}>"));
    }

    /// An element whose type is one of several: `kind` is the one meant.
    pub fn typed(&mut self, name: &str, kind: &str, inner: impl FnOnce(&mut Self)) {
        self.text.push_str(&format!(r#"<{name} xsi:type="{kind}">"#));
        inner(self);
        self.text.push_str(&format!("</{name}>"));
    }

    /// An element that holds a word or number.
    pub fn text(&mut self, name: &str, value: impl Display) {
        let value = value.to_string();
        self.text.push_str(&format!("<{name}>{}</{name}>", escape(clean(&value))));
    }

    /// The same, left out where there is nothing to say.
    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A string where the schema allows any type.
    pub fn any_string(&mut self, name: &str, value: &str) {
        self.text.push_str(&format!(
            r#"<{name} xsi:type="xsd:string">{}</{name}>"#,
            escape(clean(value))
        ));
    }

    /// An element that names a managed object.
    pub fn object(&mut self, name: &str, object: &MoRef) {
        self.text.push_str(&format!(
            r#"<{name} type="{}">{}</{name}>"#,
            escape(object.kind.as_str()),
            escape(object.id.as_str())
        ));
    }

    /// The same, left out where there is none.
    pub fn maybe_object(&mut self, name: &str, object: Option<&MoRef>) {
        if let Some(object) = object {
            self.object(name, object);
        }
    }
}

/// Characters that XML cannot hold are left out: no server would read the request otherwise.
fn clean(text: &str) -> Cow<'_, str> {
    let bad = |c: char| {
        (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if text.contains(bad) { Cow::Owned(text.replace(bad, "")) } else { Cow::Borrowed(text) }
}

/// An element of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Without its prefix.
    pub name: String,
    /// What `xsi:type` says, without its prefix.
    pub kind: Option<String>,
    /// The bare attribute `type`: the kind of the object that the text names.
    pub object_kind: Option<String>,
    /// All text directly inside.
    pub text: String,
    /// What it holds, in order.
    pub children: Vec<Node>,
}

/// A reply that is no XML we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not XML.
    #[error("the reply is no XML: {0}")]
    Syntax(String),
    /// Nested or long past every real reply.
    #[error("the reply has {0}")]
    Bound(&'static str),
    /// It ends in the middle.
    #[error("the reply ends in the middle")]
    Cut,
}

impl Node {
    /// Reads a document.
    ///
    /// # Errors
    /// [`XmlError`], for a text that is cut, is no XML, or is deeper or longer than any reply.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let mut reader = NsReader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        let mut elements = 0_usize;
        loop {
            let event = reader.read_event().map_err(|error| XmlError::Syntax(error.to_string()))?;
            match event {
                Event::Start(tag) => {
                    elements = elements.saturating_add(1);
                    if elements > MAX_ELEMENTS {
                        return Err(XmlError::Bound("too many elements"));
                    }
                    if open.len() >= MAX_DEPTH {
                        return Err(XmlError::Bound("too many levels"));
                    }
                    open.push(start(&reader, &tag)?);
                }
                Event::Empty(tag) => {
                    elements = elements.saturating_add(1);
                    let node = start(&reader, &tag)?;
                    if let Some(root) = close(&mut open, node) {
                        return Ok(root);
                    }
                }
                Event::End(_) => {
                    let Some(node) = open.pop() else { return Err(XmlError::Cut) };
                    if let Some(root) = close(&mut open, node) {
                        return Ok(root);
                    }
                }
                Event::Text(words) => add(&mut open, &words.into_inner()),
                Event::CData(words) => add(&mut open, &words.into_inner()),
                Event::GeneralRef(reference) => {
                    let word = match reference.resolve_char_ref() {
                        Ok(Some(character)) => character.to_string(),
                        Ok(None) => resolve_xml_entity(&reference.into_inner())
                            .ok_or_else(|| XmlError::Syntax("an entity of its own".to_owned()))?
                            .to_owned(),
                        Err(error) => return Err(XmlError::Syntax(error.to_string())),
                    };
                    add(&mut open, &word);
                }
                Event::Eof => return Err(XmlError::Cut),
                Event::DocType(_) => return Err(XmlError::Bound("a document type")),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Follows a path of names, the first of each.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// The text at a path; empty counts as none.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(|node| node.text.as_str()).filter(|text| !text.is_empty())
    }

    /// A number at a path.
    #[must_use]
    pub fn number_at<T: std::str::FromStr>(&self, path: &[&str]) -> Option<T> {
        self.text_at(path)?.trim().parse().ok()
    }

    /// Whether a path says `true`.
    #[must_use]
    pub fn is_true(&self, path: &[&str]) -> bool {
        matches!(self.text_at(path), Some("true" | "1"))
    }

    /// Every child of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// As the address of a managed object.
    #[must_use]
    pub fn object(&self) -> Option<MoRef> {
        let kind = self.object_kind.as_deref()?;
        (!self.text.is_empty()).then(|| MoRef::new(kind, &self.text))
    }

    /// The managed object at a path.
    #[must_use]
    pub fn object_at(&self, path: &[&str]) -> Option<MoRef> {
        self.at(path)?.object()
    }
}

fn add(open: &mut [Node], words: &str) {
    if let Some(node) = open.last_mut() {
        node.text.push_str(words);
    }
}

/// Hands a finished element to its parent; the root comes back.
fn close(open: &mut [Node], mut node: Node) -> Option<Node> {
    // White space between elements is layout, white space in a leaf is its value.
    if !node.children.is_empty() {
        node.text = node.text.trim().to_owned();
    }
    match open.last_mut() {
        Some(parent) => {
            parent.children.push(node);
            None
        }
        None => Some(node),
    }
}

fn start(reader: &NsReader<&[u8]>, tag: &BytesStart) -> Result<Node, XmlError> {
    let mut node = Node { name: tag.local_name().into_inner().to_owned(), ..Node::default() };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| XmlError::Syntax(error.to_string()))?;
        let (space, local) = reader.resolver().resolve_attribute(attribute.key);
        if local.into_inner() != "type" {
            continue;
        }
        let value = attribute.value.into_owned();
        match space {
            ResolveResult::Bound(space) if space.into_inner() == XSI => {
                let word = value.rsplit(':').next().unwrap_or_default();
                node.kind = Some(word.to_owned());
            }
            ResolveResult::Unbound => node.object_kind = Some(value),
            _ => {}
        }
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_its_namespace_whatever_its_prefix() {
        let text = r#"<a xmlns:q="http://www.w3.org/2001/XMLSchema-instance"><v q:type="xsd:string" type="VirtualMachine"> x&amp;&#65;&lt; </v></a>"#;
        let node = Node::parse(text).unwrap();
        let v = node.child("v").unwrap();
        assert_eq!(v.kind.as_deref(), Some("string"));
        assert_eq!(v.object_kind.as_deref(), Some("VirtualMachine"));
        assert_eq!(v.text, " x&A< ");
    }

    #[test]
    fn a_reply_that_is_cut_deep_or_foreign_is_an_error() {
        assert_eq!(Node::parse("<a><b>"), Err(XmlError::Cut));
        assert_eq!(Node::parse(""), Err(XmlError::Cut));
        assert!(matches!(Node::parse("<a><b></a>"), Err(XmlError::Syntax(_))));
        assert_eq!(Node::parse(&"<a>".repeat(500)), Err(XmlError::Bound("too many levels")));
        assert!(Node::parse("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>").is_err());
    }

    #[test]
    fn what_is_written_is_escaped_and_read_back() {
        let this = MoRef::new("Folder", "a/[b]&@<c>");
        let text = Xml::call("Do", &this, |xml| {
            xml.text("name", "x < \"y\" & z\u{1}");
            xml.any_string("value", "v");
        });
        let root = Node::parse(&text).unwrap();
        let call = root.at(&["Body", "Do"]).unwrap();
        assert_eq!(call.object_at(&["_this"]), Some(this));
        assert_eq!(call.text_at(&["name"]), Some("x < \"y\" & z"));
        assert_eq!(call.child("value").unwrap().kind.as_deref(), Some("string"));
    }
}
