//! What a parser saw, field by field: the view that `inspect` shows for every format.

use std::borrow::Cow;

use serde::Serialize;

use crate::units::{ByteOffset, Bytes};

/// One field as it lies in its file, for a person with a hex viewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldNote {
    /// The format's own name of the structure: `SparseExtentHeader`.
    pub structure: Cow<'static, str>,
    /// The format's own name of the field: `grainSize`.
    pub field: Cow<'static, str>,
    /// Where the field lies, from the start of its file.
    pub offset_bytes: ByteOffset,
    /// How many bytes it takes there.
    pub length_bytes: Bytes,
    /// The value in words a person reads: numbers in decimal, magics and flags in hex.
    pub value: String,
    /// What the value means or what is odd about it, where that is worth saying.
    pub note: Option<String>,
}

impl FieldNote {
    /// A field without remark.
    #[must_use]
    pub fn new(
        structure: impl Into<Cow<'static, str>>,
        field: impl Into<Cow<'static, str>>,
        at: ByteOffset,
        length: Bytes,
        value: impl Into<String>,
    ) -> Self {
        Self {
            structure: structure.into(),
            field: field.into(),
            offset_bytes: at,
            length_bytes: length,
            value: value.into(),
            note: None,
        }
    }

    /// The same field with a remark.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// A parsed structure that can list its fields in file order.
pub trait Fields {
    /// Every field of the structure, in file order. Long lists are cut to a bound and say so.
    fn fields(&self) -> Vec<FieldNote>;
}
