//! Names from evidence made safe to create: no path, no control, nothing that a host or a share
//! refuses, and no two alike.

use std::collections::HashSet;

/// Longest name made, in bytes; leaves room for what is appended while it is written.
const MAX_BYTES: usize = 120;

/// One file or folder name that stays where it is put, close to `name`.
#[must_use]
pub fn safe_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let fine = c.is_alphanumeric() || " ._-+@,=()[]{}#&'!~%".contains(c);
        let c = if fine && c != char::REPLACEMENT_CHARACTER { c } else { '_' };
        out.push(c);
    }
    // A leading dot hides, a leading dash reads as a flag, trailing dots and blanks get lost.
    let trimmed = out.trim_matches(|c: char| c == ' ' || c == '.').trim_start_matches('-');
    let mut out = trimmed.to_owned();
    if out.len() > MAX_BYTES {
        // The ending tells what the file is.
        let ending = out.rfind('.').map(|at| out.split_off(at)).unwrap_or_default();
        let ending: String = ending.chars().take(16).collect();
        while out.len() + ending.len() > MAX_BYTES {
            out.pop();
        }
        out.push_str(&ending);
    }
    if out.is_empty() { "unnamed".to_owned() } else { out }
}

/// The same for bytes; what is no UTF-8 becomes `_`.
#[must_use]
pub fn safe_bytes(name: &[u8]) -> String {
    safe_name(&String::from_utf8_lossy(name))
}

/// Gives out names, each once whatever its case.
#[derive(Debug, Default)]
pub struct Unique {
    given: HashSet<String>,
}

impl Unique {
    /// `name`, or `name` with a number before its ending where it is taken.
    pub fn take(&mut self, name: &str) -> String {
        if self.given.insert(name.to_lowercase()) {
            return name.to_owned();
        }
        let (stem, ending) = match name.rfind('.').filter(|at| *at > 0) {
            Some(at) => name.split_at(at),
            None => (name, ""),
        };
        let mut number = 2_u32;
        loop {
            let next = format!("{stem}-{number}{ending}");
            if self.given.insert(next.to_lowercase()) {
                return next;
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_in_their_folder() {
        for (name, safe) in [
            ("SQL 01", "SQL 01"),
            ("Büro-Server.vmdk", "Büro-Server.vmdk"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("..", "unnamed"),
            ("", "unnamed"),
            (".hidden", "hidden"),
            ("-rf", "rf"),
            ("a\nb\x1b[2J", "a_b_[2J"),
            ("a\u{202e}b", "a_b"),
            ("C:\\x|y?*\"<>", "C__x_y_____"),
            ("trailing. .", "trailing"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        assert_eq!(safe_bytes(b"caf\xe9.vmdk"), "caf_.vmdk");
        let long = safe_name(&format!("{}.vmdk", "n".repeat(300)));
        assert!(long.len() <= MAX_BYTES && long.ends_with("n.vmdk"));
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut unique = Unique::default();
        let names = ["vm.vmdk", "VM.vmdk", "vm", "vm", "vm-2"].map(|name| unique.take(name));
        assert_eq!(names, ["vm.vmdk", "VM-2.vmdk", "vm", "vm-2", "vm-2-2"]);
    }
}
