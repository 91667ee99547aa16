//! The configuration as the log tells it.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::MAX_CONFIG_BYTES;
use crate::{
    dict::{MAX_ENTRIES, WITHHELD, is_secret_key, quote},
    units::ByteOffset,
};

/// One key as last logged. Secrets are withheld from `Debug` and `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct LoggedValue {
    /// The key as spelled.
    pub key: String,
    /// The value, escapes decoded; `None` where the log says `<not printed>`.
    pub value: Option<String>,
    /// Line number, from 1.
    pub line: u32,
    /// Where the line begins.
    pub at: ByteOffset,
}

impl LoggedValue {
    fn shown(&self) -> Option<&str> {
        self.value.as_deref().map(|value| if is_secret_key(&self.key) { WITHHELD } else { value })
    }
}

impl fmt::Debug for LoggedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} = {:?}", self.line, self.key, self.shown())
    }
}

impl Serialize for LoggedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("LoggedValue", 4)?;
        fields.serialize_field("key", &self.key)?;
        fields.serialize_field("value", &self.shown())?;
        fields.serialize_field("line", &self.line)?;
        fields.serialize_field("offset_bytes", &self.at)?;
        fields.end()
    }
}

/// A `CONFIGURATION` section with the changes logged after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggedConfig {
    /// Path of the `.vmx` as logged; old products leave it out.
    pub path: Option<String>,
    /// Where the section begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Keys in lower case, sorted.
    pub values: BTreeMap<String, LoggedValue>,
    /// Whether anything follows the section, so that it was printed whole.
    pub complete: bool,
    /// Lines with foreign bytes in or after the section: changes may be lost with them.
    pub damaged_lines: u32,
    /// `ConfigDB` changes applied.
    pub changes: u32,
    #[serde(skip)]
    pub(super) bytes: usize,
}

impl LoggedConfig {
    pub(super) fn new(path: Option<String>, at: ByteOffset) -> Self {
        Self {
            path,
            at,
            values: BTreeMap::new(),
            complete: false,
            damaged_lines: 0,
            changes: 0,
            bytes: 0,
        }
    }

    /// The value of a key in any case; `None` too where it was not printed.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.values.get(&key.to_lowercase()).and_then(|logged| logged.value.as_deref())
    }

    /// A `.vmx` text in UTF-8 that VMware can read, keys sorted.
    ///
    /// Keys whose value was not printed are left out, as is `.encoding`, which no log has.
    /// Carries secrets where the log printed them.
    #[must_use]
    pub fn to_vmx_text(&self) -> String {
        let mut text = ".encoding = \"UTF-8\"\n".to_owned();
        for logged in self.values.values() {
            if let Some(value) = &logged.value {
                text.push_str(&format!("{} = {}\n", logged.key, quote(value)));
            }
        }
        text
    }

    /// Sets a key; false where the bounds forbid it.
    pub(super) fn set(&mut self, logged: LoggedValue) -> bool {
        let size = logged.key.len().saturating_add(logged.value.as_deref().map_or(0, str::len));
        let bytes = self.bytes.saturating_add(size);
        if self.values.len() >= MAX_ENTRIES || bytes > MAX_CONFIG_BYTES {
            return false;
        }
        self.bytes = bytes;
        if let Some(old) = self.values.insert(logged.key.to_lowercase(), logged) {
            self.forget(&old);
        }
        true
    }

    pub(super) fn unset(&mut self, key: &str) {
        if let Some(old) = self.values.remove(&key.to_lowercase()) {
            self.forget(&old);
        }
    }

    pub(super) fn unset_prefix(&mut self, prefix: &str) {
        let prefix = prefix.to_lowercase();
        let keys: Vec<String> = self
            .values
            .range(prefix.clone()..)
            .map(|(key, _)| key.clone())
            .take_while(|key| key.starts_with(&prefix))
            .collect();
        for key in keys {
            self.unset(&key);
        }
    }

    fn forget(&mut self, old: &LoggedValue) {
        let size = old.key.len().saturating_add(old.value.as_deref().map_or(0, str::len));
        self.bytes = self.bytes.saturating_sub(size);
    }
}
