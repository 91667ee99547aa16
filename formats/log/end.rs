//! How a log ends, and so how the machine did.

use serde::Serialize;

use crate::units::ByteOffset;

/// How a log ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum LogEnd {
    /// Nothing is there.
    #[default]
    Empty,
    /// The machine's process said goodbye after a power-off.
    CleanExit {
        /// Its exit code; 0 where the line has none.
        code: i64,
    },
    /// The machine was suspended: its state is in a `.vmss`.
    Suspended,
    /// The machine was powered off, but the process did not end its log.
    PoweredOff,
    /// A panic, a failed assertion or a signal.
    Crashed {
        /// The first such line.
        message: String,
        /// Where it stands.
        #[serde(rename = "offset_bytes")]
        at: ByteOffset,
    },
    /// The last line is cut: killed, or the host went down while writing.
    CutMidLine,
    /// Whole lines, no goodbye: still running, killed, or the host went down.
    Open,
}

/// Marks of the end, forgotten at each power-on.
#[derive(Debug, Default)]
pub(super) struct EndMarks {
    pub(super) exit: Option<i64>,
    pub(super) suspended: bool,
    pub(super) powered_off: bool,
    pub(super) crash: Option<(String, ByteOffset)>,
}

const CRASHES: &[&[u8]] = &[
    b"PANIC:",
    b"*** VMware Workstation internal",
    b"*** VMware ESX internal",
    b"VMware ESX unrecoverable error",
    b"VMware Workstation unrecoverable error",
    b"VMware Player unrecoverable error",
    b"VMware Fusion unrecoverable error",
    b"MONITOR PANIC",
    b"Unexpected signal",
    b"Caught signal",
    b"CoreDump:",
    b"ASSERT ",
    b"VERIFY ",
    b"NOT_REACHED",
    b"NOT_IMPLEMENTED",
];

impl EndMarks {
    pub(super) fn take(&mut self, message: &[u8], at: ByteOffset) {
        let text =
            || String::from_utf8_lossy(message.get(..message.len().min(512)).unwrap_or(message));
        if let Some(rest) = message.strip_prefix(b"Transitioned vmx/execState/val to ") {
            self.suspended = rest.starts_with(b"suspended");
            self.powered_off = rest.starts_with(b"poweredOff");
        } else if message.starts_with(b"VMX exit (")
            || message.starts_with(b"VMX has left the building")
        {
            let text = text();
            let digits = text.split(['(', ')', ':']).nth(1).unwrap_or_default();
            self.exit = Some(digits.trim_matches([' ', '.']).parse().unwrap_or(0));
        } else if self.crash.is_none() && CRASHES.iter().any(|mark| message.starts_with(mark)) {
            self.crash = Some((text().into_owned(), at));
        }
    }

    pub(super) fn end(self, lines: u64, mid_line: bool) -> LogEnd {
        if let Some((message, at)) = self.crash {
            return LogEnd::Crashed { message, at };
        }
        match (lines, self.exit) {
            (0, _) => LogEnd::Empty,
            (_, Some(0)) if self.suspended => LogEnd::Suspended,
            (_, Some(code)) => LogEnd::CleanExit { code },
            (_, None) if mid_line => LogEnd::CutMidLine,
            (_, None) if self.suspended => LogEnd::Suspended,
            (_, None) if self.powered_off => LogEnd::PoweredOff,
            (_, None) => LogEnd::Open,
        }
    }
}
