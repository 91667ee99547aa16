//! `.vmxf`: the small XML beside a configuration, `<Foundry>`. It names the `.vmx`.

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::DefectList,
    field::{FieldNote, Fields},
    units::{ByteOffset, Bytes},
    xml,
};

/// A `.vmxf` as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Vmxf {
    /// `VMId`, as written.
    pub vm_id: Option<String>,
    /// `vmxPathName`: file name of the `.vmx`, as written; may point anywhere.
    pub vmx_path_name: Option<String>,
    #[serde(skip)]
    places: Vec<(&'static str, ByteOffset, Bytes, String)>,
}

impl Vmxf {
    /// Reads a `.vmxf`. Whatever the damage, there is a value, perhaps an empty one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Checked<Self> {
        let mut defects = DefectList::new("vmxf");
        let mut value = Self::default();
        if let Some(root) = xml::parse(bytes, "Foundry", &mut defects) {
            let vm = root.child("VM");
            for name in ["VMId", "vmxPathName"] {
                match vm.and_then(|vm| vm.child(name)) {
                    Some(element) => {
                        let text = element.text.clone();
                        value.places.push((name, element.at, element.length, text));
                    }
                    None => {
                        let what = format!("<{name}>");
                        defects.add_at("VM", root.at, DefectKind::Missing { what });
                    }
                }
            }
            let text = |name| vm.and_then(|vm| vm.child_text(name)).map(str::to_owned);
            value.vm_id = text("VMId");
            value.vmx_path_name = text("vmxPathName");
        }
        Checked { value, defects: defects.finish() }
    }
}

impl Fields for Vmxf {
    fn fields(&self) -> Vec<FieldNote> {
        self.places
            .iter()
            .map(|(name, at, length, text)| FieldNote::new("VM", *name, *at, *length, text.clone()))
            .collect()
    }
}
