//! What is on the server: objects and their properties, in pages.

use std::collections::BTreeMap;

use super::{
    error::Error,
    server::Server,
    xml::{MoRef, Node, Xml},
};

/// Pages are asked for of this many objects; servers may answer with less.
const PAGE: usize = 500;
/// More objects than any vCenter holds.
const MAX_OBJECTS: usize = 1 << 20;

/// One object with what was asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which.
    pub mo: MoRef,
    /// Its properties; those unset or not to be read are absent.
    pub properties: Properties,
}

/// Values by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties(BTreeMap<String, Node>);

impl Properties {
    /// The value of a property.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    /// Its text; empty counts as none.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path).map(|node| node.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Its number.
    #[must_use]
    pub fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.trim().parse().ok()
    }

    /// Whether it says `true`.
    #[must_use]
    pub fn is_true(&self, path: &str) -> bool {
        matches!(self.text(path), Some("true" | "1"))
    }

    /// The object it names.
    #[must_use]
    pub fn object(&self, path: &str) -> Option<MoRef> {
        self.get(path)?.object()
    }

    /// The objects that a list names.
    #[must_use]
    pub fn objects(&self, path: &str) -> Vec<MoRef> {
        self.get(path)
            .map(|list| list.children.iter().filter_map(Node::object).collect())
            .unwrap_or_default()
    }
}

impl Server {
    /// Every object of `kind` on the server, with `paths` of each. Objects that vanish meanwhile,
    /// and properties that may not be read, are left out.
    ///
    /// # Errors
    /// As the calls say.
    pub fn list(&self, kind: &str, paths: &[&str]) -> Result<Vec<Object>, Error> {
        let views = &self.content.views;
        let made = self.ask("CreateContainerView", views, |xml| {
            xml.object("container", &self.content.root);
            xml.text("type", kind);
            xml.text("recursive", true);
        })?;
        let view = returned("CreateContainerView", &made)?;
        let found = self.retrieve(|xml| {
            xml.element("propSet", |xml| {
                xml.text("type", kind);
                for path in paths {
                    xml.text("pathSet", path);
                }
            });
            xml.element("objectSet", |xml| {
                xml.object("obj", &view);
                xml.text("skip", true);
                xml.typed("selectSet", "TraversalSpec", |xml| {
                    xml.text("type", "ContainerView");
                    xml.text("path", "view");
                    xml.text("skip", false);
                });
            });
        });
        // The session's end removes it too.
        let _ = self.ask("DestroyView", &view, |_| {});
        found
    }

    /// `paths` of one object.
    ///
    /// # Errors
    /// `ManagedObjectNotFound` when it is gone, and as the calls say.
    pub fn properties(&self, mo: &MoRef, paths: &[&str]) -> Result<Properties, Error> {
        let found = self.retrieve(|xml| {
            xml.element("propSet", |xml| {
                xml.text("type", &mo.kind);
                for path in paths {
                    xml.text("pathSet", path);
                }
            });
            xml.element("objectSet", |xml| {
                xml.object("obj", mo);
                xml.text("skip", false);
            });
        })?;
        Ok(found.into_iter().next().map(|object| object.properties).unwrap_or_default())
    }

    fn retrieve(&self, spec: impl Fn(&mut Xml)) -> Result<Vec<Object>, Error> {
        let collector = &self.content.collector;
        let mut page = self.ask("RetrievePropertiesEx", collector, |xml| {
            xml.element("specSet", |xml| spec(xml));
            xml.element("options", |xml| xml.text("maxObjects", PAGE));
        })?;
        let mut found = Vec::new();
        // An answer without `returnval` means: nothing.
        while let Some(result) = page.child("returnval") {
            found.extend(result.all("objects").filter_map(object));
            let token = result.text_at(&["token"]).map(str::to_owned);
            let Some(token) = token else { break };
            if found.len() > MAX_OBJECTS {
                let detail = "the server lists more objects than any can hold".to_owned();
                return Err(Error::Unexpected { what: "RetrievePropertiesEx".to_owned(), detail });
            }
            page = self.ask("ContinueRetrievePropertiesEx", collector, |xml| {
                xml.text("token", &token);
            })?;
        }
        Ok(found)
    }
}

fn object(node: &Node) -> Option<Object> {
    let mo = node.object_at(&["obj"])?;
    let values = node.all("propSet").filter_map(|property| {
        let name = property.text_at(&["name"])?.to_owned();
        Some((name, property.child("val")?.clone()))
    });
    Some(Object { mo, properties: Properties(values.collect()) })
}

/// The object that a call returned.
pub(super) fn returned(what: &str, node: &Node) -> Result<MoRef, Error> {
    node.object_at(&["returnval"]).ok_or_else(|| Error::Unexpected {
        what: what.to_owned(),
        detail: "the answer names no object".to_owned(),
    })
}
