//! Data flows one way: no module of `src` uses one that stands after it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path};

/// Modules from the ground up. A module may use those before it, and itself.
const ORDER: [&[&str]; 11] = [
    &["outcome", "finding", "interrupt"],
    &["source"],
    &["families", "disk"],
    &["catalog"],
    &["triage"],
    &["consolidate", "map"],
    &["guest"],
    &["salvage"],
    &["redeploy"],
    &["report", "ui", "sweep", "inspect", "chain"],
    &["cli", "commands"],
];

/// Uses against the order that were weighed and kept, each with its reason.
const KEPT: [(&str, &str, &str); 2] = [
    ("ui", "cli", "the global flags are turned into the voice's options in one place"),
    ("cli", "commands", "a command's arguments stand beside its run function"),
];

fn level(module: &str) -> Option<usize> {
    ORDER.iter().position(|modules| modules.contains(&module))
}

fn visit(folder: &Path, found: &mut Vec<(String, String)>, module: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let module = if module.is_empty() { name.as_str() } else { module };
        if path.is_dir() {
            visit(&path, found, module);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            // Tests may build what they need from anywhere.
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name == "tests.rs" || path.components().any(|c| c.as_os_str() == "tests") {
                continue;
            }
            for used in uses(text) {
                found.push((module.to_owned(), used));
            }
        }
    }
}

/// First path parts after `crate::`, groups taken apart.
fn uses(text: &str) -> Vec<String> {
    let word = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
    };
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if text[..at].ends_with("super::") || text[..at].ends_with('_') {
            continue;
        }
        let Some(group) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    start = true;
                    continue;
                }
                c if c.is_whitespace() => continue,
                _ => {}
            }
            if start {
                found.push(word(&group[i..]));
                start = false;
            }
        }
    }
    found
}

#[test]
fn no_module_uses_one_that_stands_after_it() {
    let mut found = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found, "");
    found.sort();
    found.dedup();
    let wrong: Vec<String> = found
        .iter()
        .filter(|(module, used)| {
            let (Some(own), Some(other)) = (level(module), level(used)) else { return false };
            other > own && !KEPT.iter().any(|(a, b, _)| a == module && b == used)
        })
        .map(|(module, used)| format!("{module} uses {used}"))
        .collect();
    assert!(wrong.is_empty(), "against the order of layers: {wrong:?}");
    assert!(found.iter().any(|(a, b)| a == "sweep" && b == "catalog"), "the test reads nothing");
}
