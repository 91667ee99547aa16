//! Line after line into facts.

use super::{
    Line, VmwareLog,
    config::{LoggedConfig, LoggedValue},
    disk::DiskFacts,
    end::EndMarks,
    prefix,
    time::LogTime,
};
use crate::{
    defect::DefectKind,
    dict::{Charset, DefectList, MAX_ENTRIES, WITHHELD, is_secret_key, shorten, unescape},
    units::ByteOffset,
};

const NOT_PRINTED: &str = "<not printed>";

#[derive(Debug, Default)]
pub(super) struct Scan {
    log: VmwareLog,
    charset: Charset,
    facts: DiskFacts,
    marks: EndMarks,
    in_config: bool,
    last_time: Vec<u8>,
    limited: bool,
}

impl Scan {
    pub(super) fn take(&mut self, line: &Line, defects: &mut DefectList) {
        self.log.lines = self.log.lines.saturating_add(1);
        if line.junk {
            // Half of a torn line may still read well; nothing of it is believed.
            if let Some(config) = &mut self.log.config {
                config.damaged_lines = config.damaged_lines.saturating_add(1);
            }
            return;
        }
        let Some(parts) = prefix::split(line.bytes) else {
            self.log.unprefixed_lines = self.log.unprefixed_lines.saturating_add(1);
            return;
        };
        if self.log.first_time.is_none() {
            self.log.first_time = Some(LogTime::of(&String::from_utf8_lossy(parts.time)));
        }
        self.last_time.clear();
        self.last_time.extend_from_slice(parts.time);
        let message = parts.message;
        if let Some(dict) = message.strip_prefix(b"DICT ") {
            let text = self.decode(dict);
            self.dict(&text, line, defects);
            return;
        }
        if let Some(config) = &mut self.log.config {
            config.complete = true;
        }
        match message.first() {
            Some(b'C') if message.starts_with(b"ConfigDB: ") => {
                let text = self.decode(message);
                self.config_db(&text, line, defects);
            }
            Some(b'D') if message.starts_with(b"DISK") => {
                let text = self.decode(message);
                self.facts.take(&text, line.number, line.at);
                self.limit(self.facts.dropped, line.at, defects);
            }
            Some(b'B' | b'H' | b'L' | b'U') => {
                let text = self.decode(message);
                self.identity(&text);
            }
            _ => {}
        }
        self.marks.take(message, line.at);
    }

    fn identity(&mut self, message: &str) {
        let log = &mut self.log;
        if let Some(rest) = message.strip_prefix("Log for ") {
            let after = |mark: &str| {
                let (_, tail) = rest.split_once(mark)?;
                tail.split(' ').next().map(str::to_owned)
            };
            log.product = rest.split(" pid=").next().map(str::to_owned);
            log.version = after(" version=");
            log.build = after(" build=").map(|build| build.trim_start_matches("build-").to_owned());
            self.marks = EndMarks::default();
        } else if let Some(rest) = message.strip_prefix("Host codepage=") {
            let (codepage, encoding) = rest.split_once(" encoding=").unwrap_or((rest, ""));
            log.codepage = Some(codepage.to_owned());
            log.encoding = Some(encoding.trim().to_owned()).filter(|name| !name.is_empty());
            if let Some(charset) = Charset::named(encoding).or_else(|| Charset::named(codepage)) {
                self.charset = charset;
            }
        } else if let Some(name) = message.strip_prefix("Hostname=") {
            log.host_name = Some(name.to_owned());
        } else if let Some(uuid) = message.strip_prefix("UUID: location-UUID is ") {
            log.uuid_location = Some(uuid.trim().to_owned());
        } else if let Some(uuid) = message.strip_prefix("BIOS-UUID is ") {
            log.uuid_bios = Some(uuid.trim().to_owned());
        }
    }

    /// A line behind `DICT `.
    fn dict(&mut self, text: &str, line: &Line, defects: &mut DefectList) {
        if let Some(section) = text.strip_prefix("--- ") {
            if let Some(config) = self.log.config.as_mut().filter(|_| self.in_config) {
                config.complete = true;
            }
            self.in_config =
                section.trim_end() == "CONFIGURATION" || section.starts_with("CONFIGURATION ");
            if self.in_config {
                let path = section.trim_start_matches("CONFIGURATION").trim();
                let path = Some(path.to_owned()).filter(|path| !path.is_empty());
                let next = LoggedConfig::new(path, line.at);
                self.log.previous_config = self.log.config.replace(next);
                self.log.power_ons = self.log.power_ons.saturating_add(1);
                self.marks = EndMarks::default();
            }
            return;
        }
        if !self.in_config {
            return;
        }
        if let Some((key, value)) = text.trim_start().split_once(" =") {
            self.set(key.trim(), value, line, defects);
        }
    }

    fn config_db(&mut self, text: &str, line: &Line, defects: &mut DefectList) {
        let text = text.trim_start_matches("ConfigDB: ");
        if let Some((key, value)) =
            text.strip_prefix("Setting ").and_then(|text| text.split_once(" ="))
        {
            self.set(key.trim(), value, line, defects);
        } else if let Some(rest) = text.strip_prefix("Unsetting ") {
            let Some(config) = &mut self.log.config else { return };
            let name = |text: &str| text.trim().trim_end_matches('.').trim_matches('"').to_owned();
            match rest.strip_prefix("all entries with prefix ") {
                // The prefix itself ends in a dot inside its quotes.
                Some(prefix) => config.unset_prefix(prefix.trim().trim_matches('"')),
                None => config.unset(&name(rest)),
            }
        } else {
            return;
        }
        if let Some(config) = &mut self.log.config {
            config.changes = config.changes.saturating_add(1);
        }
    }

    /// `value` is what stands behind ` =`.
    fn set(&mut self, key: &str, value: &str, line: &Line, defects: &mut DefectList) {
        let Some(config) = &mut self.log.config else { return };
        let value = value.strip_prefix(' ').unwrap_or(value);
        let inner = value.trim_end().strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        if inner.is_none() && value.starts_with('"') {
            // The closing quote was lost with what stood before it.
            config.damaged_lines = config.damaged_lines.saturating_add(1);
            let kind = DefectKind::Syntax { line: line.number, text: shown(key, value) };
            defects.add_at("DICT", line.at, kind);
            return;
        }
        let raw = inner.unwrap_or(value);
        let value = if raw == NOT_PRINTED {
            None
        } else if raw.contains('|') {
            Some(String::from_utf8_lossy(&unescape(raw.as_bytes())).into_owned())
        } else {
            Some(raw.to_owned())
        };
        if key.is_empty() || key.contains(' ') {
            return;
        }
        let logged = LoggedValue { key: key.to_owned(), value, line: line.number, at: line.at };
        let kept = config.set(logged);
        self.limit(!kept, line.at, defects);
    }

    fn limit(&mut self, reached: bool, at: ByteOffset, defects: &mut DefectList) {
        if reached && !self.limited {
            self.limited = true;
            let place = usize::try_from(at.0).unwrap_or(usize::MAX);
            defects.limit("facts", place, MAX_ENTRIES.saturating_add(1), MAX_ENTRIES);
        }
    }

    /// Logs of one host mix UTF-8 with the host's codepage, line by line.
    fn decode(&self, bytes: &[u8]) -> String {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => self.charset.decode(bytes).0,
        }
    }

    pub(super) fn finish(self, mid_line: bool) -> VmwareLog {
        let Self { mut log, facts, marks, last_time, .. } = self;
        if !last_time.is_empty() {
            log.last_time = Some(LogTime::of(&String::from_utf8_lossy(&last_time)));
        }
        if log.config.as_ref().is_some_and(|config| config.complete && config.damaged_lines == 0) {
            log.previous_config = None;
        }
        log.end = marks.end(log.lines, mid_line);
        log.devices = facts.devices.into_values().collect();
        log.disks = facts.disks.into_values().collect();
        log.chains = facts.chains.into_values().collect();
        log.cid_changes = facts.cid_changes.into();
        log
    }
}

fn shown(key: &str, value: &str) -> String {
    if is_secret_key(key) { WITHHELD.to_owned() } else { shorten(&format!("{key} = {value}")) }
}
