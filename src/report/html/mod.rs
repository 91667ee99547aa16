//! A sweep as one self-contained page: no network, no file beside it, readable without script.
//!
//! Names and notes are hostile: every string is made [`plain`](super::plain) and escaped by the
//! template engine, and the page's own policy lets only its two scripts run, named by hash.

mod bar;
mod view;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use minijinja::{
    AutoEscape, Environment, Output, State, Value, context, escape_formatter, syntax::SyntaxConfig,
    value::Serde,
};
use sha2::{Digest, Sha256};

use super::{plain::plain, record::SweepRecord};

const TEMPLATE: &str = include_str!("sweep.html.j2");
const STYLE: &str = include_str!("page.css");
const FIRST_SCRIPT: &str = include_str!("first.js");
const SCRIPT: &str = include_str!("page.js");

/// Pictures to show with disks: SVG text by machine id and the disk's place in its list.
pub type Pictures = BTreeMap<(String, usize), String>;

/// Writes the page.
///
/// # Errors
/// As the write says.
pub fn write_sweep(
    out: &mut dyn Write,
    record: &SweepRecord,
    pictures: &Pictures,
) -> io::Result<()> {
    let mut page = Environment::new();
    page.set_auto_escape_callback(|_| AutoEscape::Html);
    page.set_formatter(format_plain);
    let blocks = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    page.set_syntax(blocks.map_err(io::Error::other)?);
    page.add_template("sweep", TEMPLATE).map_err(io::Error::other)?;
    let template = page.get_template("sweep").map_err(io::Error::other)?;
    let safe = |text: &str| Value::from_safe_string(text.to_owned());
    let context = context! {
        policy => safe(&policy()),
        style => safe(STYLE),
        first_script => safe(FIRST_SCRIPT),
        script => safe(SCRIPT),
        page => Value::from(Serde(view::Page::new(record, pictures))),
    };
    template.render_captured_to(context, &mut *out).map_err(io::Error::other)?;
    out.flush()
}

/// Spells out what could hide or reorder text, then escapes for HTML.
fn format_plain(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => {
            escape_formatter(out, state, &Value::from(plain(text).into_owned()))
        }
        _ => escape_formatter(out, state, value),
    }
}

/// The page's content security policy: nothing is loaded, only our own scripts run.
fn policy() -> String {
    let mut policy = String::from("default-src 'none'; style-src 'unsafe-inline'; script-src");
    for script in [FIRST_SCRIPT, SCRIPT] {
        let _ = write!(policy, " 'sha256-{}'", STANDARD.encode(Sha256::digest(script)));
    }
    policy.push_str("; base-uri 'none'; form-action 'none'");
    policy
}

#[cfg(test)]
mod tests;
