//! Fields of the data file, each told by its place where it is not what it must be.

use serde_json::{Map, Value};

/// Texts longer than this are no entry of a person's.
const MAX_TEXT_BYTES: usize = 1024;
/// Texts of one list.
const MAX_LIST: usize = 256;

/// A field that does not hold what it must; the path is prefixed on the way out.
pub(super) struct Slip {
    pub(super) field: String,
    pub(super) what: String,
}

impl Slip {
    pub(super) fn new(field: &str, what: impl Into<String>) -> Self {
        Self { field: field.to_owned(), what: what.into() }
    }

    pub(super) fn inside(mut self, outer: &str) -> Self {
        self.field = if self.field.is_empty() {
            outer.to_owned()
        } else {
            format!("{outer}.{}", self.field)
        };
        self
    }
}

/// An object whose keys are all known.
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value, known: &[&str]) -> Result<Self, Slip> {
        let map = value.as_object().ok_or_else(|| Slip::new("", "must be an object"))?;
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => {
                Err(Slip::new(key, format!("is no known field; known are {}", known.join(", "))))
            }
            None => Ok(Self(map)),
        }
    }

    pub(super) fn text(&self, field: &str) -> Result<String, Slip> {
        match self.0.get(field) {
            None => Err(Slip::new(field, "is missing")),
            Some(value) => text_of(value).map_err(|what| Slip::new(field, what)),
        }
    }

    pub(super) fn list(&self, field: &str) -> Result<&'a [Value], Slip> {
        match self.0.get(field) {
            None => Ok(&[]),
            Some(Value::Array(list)) if list.len() <= MAX_LIST * 16 => Ok(list),
            Some(Value::Array(_)) => Err(Slip::new(field, "has too many items")),
            Some(_) => Err(Slip::new(field, "must be a list")),
        }
    }

    pub(super) fn texts(&self, field: &str) -> Result<Vec<String>, Slip> {
        let list = self.list(field)?;
        if list.len() > MAX_LIST {
            return Err(Slip::new(field, format!("has more than {MAX_LIST} items")));
        }
        list.iter()
            .enumerate()
            .map(|(i, value)| {
                text_of(value).map_err(|what| Slip::new(&format!("{field}[{i}]"), what))
            })
            .collect()
    }

    pub(super) fn each<T>(
        &self,
        field: &str,
        read: impl Fn(&Value) -> Result<T, Slip>,
    ) -> Result<Vec<T>, Slip> {
        self.list(field)?
            .iter()
            .enumerate()
            .map(|(i, value)| read(value).map_err(|slip| slip.inside(&format!("{field}[{i}]"))))
            .collect()
    }

    pub(super) fn number(&self, field: &str, min: u64, max: u64) -> Result<Option<u64>, Slip> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number =
                    value.as_u64().ok_or_else(|| Slip::new(field, "must be a whole number"))?;
                if (min..=max).contains(&number) {
                    Ok(Some(number))
                } else {
                    Err(Slip::new(field, format!("{number} is outside {min}..={max}")))
                }
            }
        }
    }

    pub(super) fn needed(&self, field: &str, min: u64, max: u64) -> Result<u64, Slip> {
        self.number(field, min, max)?.ok_or_else(|| Slip::new(field, "is missing"))
    }

    pub(super) fn flag(&self, field: &str) -> Result<bool, Slip> {
        match self.0.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Slip::new(field, "must be true or false")),
        }
    }

    pub(super) fn hex(&self, field: &str) -> Result<Option<Vec<u8>>, Slip> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let text = text_of(value).map_err(|what| Slip::new(field, what))?;
                match hex::decode(&text) {
                    Ok(bytes) if !bytes.is_empty() => Ok(Some(bytes)),
                    _ => Err(Slip::new(field, "must be pairs of hexadecimal digits")),
                }
            }
        }
    }

    pub(super) fn word<T: serde::de::DeserializeOwned>(
        &self,
        field: &str,
        words: &str,
    ) -> Result<T, Slip> {
        let text = self.text(field)?;
        serde_json::from_value(Value::String(text.clone()))
            .map_err(|_| Slip::new(field, format!("is {text:?}, not one of {words}")))
    }
}

fn text_of(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or("must be text")?;
    if text.is_empty() {
        Err("is empty".to_owned())
    } else if text.len() > MAX_TEXT_BYTES {
        Err(format!("is longer than {MAX_TEXT_BYTES} bytes"))
    } else {
        Ok(text.to_owned())
    }
}
