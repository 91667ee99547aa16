//! A path as records carry it: text where it is text, base64 beside it where it is not.

use std::{
    borrow::Cow,
    ffi::OsString,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeStruct};

/// A path in a record. JSON: a string where it is UTF-8, else `{"path": lossy, "path_b64": …}`
/// with the exact bytes, so that no file is out of a script's reach for its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPath(pub PathBuf);

impl RecordPath {
    /// The path as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn lossy(&self) -> Cow<'_, str> {
        self.0.to_string_lossy()
    }

    /// The last component, or the whole path where there is none.
    #[must_use]
    pub fn file_name_path(&self) -> Self {
        self.0.file_name().map_or_else(|| self.clone(), |name| Self(name.into()))
    }

    /// The path itself.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl<T: Into<PathBuf>> From<T> for RecordPath {
    fn from(path: T) -> Self {
        Self(path.into())
    }
}

impl Serialize for RecordPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.0.to_str() {
            return serializer.serialize_str(text);
        }
        let mut both = serializer.serialize_struct("RecordPath", 2)?;
        both.serialize_field("path", &self.lossy())?;
        both.serialize_field("path_b64", &STANDARD.encode(self.0.as_os_str().as_encoded_bytes()))?;
        both.end()
    }
}

impl<'de> Deserialize<'de> for RecordPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Bytes { path_b64: String },
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into())),
            Form::Bytes { path_b64 } => {
                let bytes = STANDARD.decode(path_b64).map_err(D::Error::custom)?;
                Ok(Self(os_string(bytes).into()))
            }
        }
    }
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(all(test, unix))]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

    use super::RecordPath;

    #[test]
    fn a_path_that_is_text_is_a_plain_string() {
        let json = serde_json::to_string(&RecordPath::from("ds01/SQL 01/ä.vmdk")).unwrap();
        assert_eq!(json, r#""ds01/SQL 01/ä.vmdk""#);
        assert_eq!(
            serde_json::from_str::<RecordPath>(&json).unwrap(),
            RecordPath::from("ds01/SQL 01/ä.vmdk")
        );
    }

    #[test]
    fn a_path_that_is_no_utf8_comes_back_byte_for_byte() {
        let path = RecordPath(PathBuf::from(OsStr::from_bytes(b"ds01/caf\xe9.vmdk")));
        let json = serde_json::to_string(&path).unwrap();
        assert_eq!(json, r#"{"path":"ds01/caf�.vmdk","path_b64":"ZHMwMS9jYWbpLnZtZGs="}"#);
        assert_eq!(serde_json::from_str::<RecordPath>(&json).unwrap(), path);
    }
}
