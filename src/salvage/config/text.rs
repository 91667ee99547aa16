//! The rebuilt configuration as a file that VMware reads.

use vmglean_formats::dict::{Charset, quote, quote_bytes};

use super::merge::Rebuilt;

impl Rebuilt {
    /// The text of the `.vmx`: the machine's own byte for byte where it is whole and unchanged,
    /// else `.encoding` first and the keys sorted, values escaped as VMware escapes them.
    ///
    /// In the charset that `.encoding` names where it can say every value, else in UTF-8 with
    /// `.encoding` set accordingly. Carries secrets where the sources have them: the machine
    /// needs them.
    #[must_use]
    pub fn to_vmx(&self) -> Vec<u8> {
        if let Some(own) = &self.verbatim {
            return own.clone();
        }
        let label = self.value(".encoding").unwrap_or("UTF-8");
        Charset::named(label)
            .and_then(|charset| self.in_charset(label, charset))
            .unwrap_or_else(|| self.in_utf8())
    }

    fn in_charset(&self, label: &str, charset: Charset) -> Option<Vec<u8>> {
        let mut out = format!(".encoding = {}\n", quote(label)).into_bytes();
        for line in self.lines.iter().filter(|line| line.key != ".encoding") {
            out.extend_from_slice(&charset.encode(&line.key)?);
            out.extend_from_slice(b" = ");
            out.extend_from_slice(&quote_bytes(&line.value, charset)?);
            out.push(b'\n');
        }
        Some(out)
    }

    fn in_utf8(&self) -> Vec<u8> {
        let mut out = ".encoding = \"UTF-8\"\n".to_owned();
        for line in self.lines.iter().filter(|line| line.key != ".encoding") {
            out.push_str(&line.key);
            out.push_str(" = ");
            out.push_str(&quote(&line.value));
            out.push('\n');
        }
        out.into_bytes()
    }
}
