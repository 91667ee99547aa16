//! One file taken apart, as `vmglean.inspect/1` and as text with offsets for a hex viewer.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr;
use vmglean_formats::{Defect, FieldNote};

use super::{
    json::write_line,
    plain::{plain, plain_path},
    record::{RecordPath, RunInfo},
    text::layout::{BAD, BOLD, DIM, left, painted, right, wrap},
    units::{bytes, count, counted},
};
use crate::finding::Finding;

/// What `schema` says in an inspect record.
pub const INSPECT_SCHEMA: &str = "vmglean.inspect/1";

/// What `vmglean inspect` found in the files named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectRecord {
    /// Always [`INSPECT_SCHEMA`].
    pub schema: String,
    /// The files, in the order named.
    pub files: Vec<InspectedFile>,
    /// Time, version and arguments; left out with `--reproducible`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
}

impl InspectRecord {
    /// A record of `files`.
    #[must_use]
    pub fn new(files: Vec<InspectedFile>) -> Self {
        Self { schema: INSPECT_SCHEMA.to_owned(), files, run: None }
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectedFile {
    /// The file.
    pub path: RecordPath,
    /// Its size.
    pub size_bytes: u64,
    /// What it is, in words: `hosted sparse extent (KDMV version 1)`; `null` where not known.
    pub format: Option<String>,
    /// What says so: `magic KDMV at 0x0`.
    pub rests_on: Option<String>,
    /// Every field, in file order as far as the format has one.
    pub fields: Vec<FieldRecord>,
    /// What does not hold.
    pub defects: Vec<DefectRecord>,
    /// What a person must know beside that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Why it could not be read, or not further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One field as it lies in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldRecord {
    /// The format's own name of the structure.
    pub structure: String,
    /// The format's own name of the field.
    pub field: String,
    /// From the start of the file.
    pub offset_bytes: u64,
    /// Bytes it takes there; 0 where the format gives a line or place but no length.
    pub length_bytes: u64,
    /// The value in words.
    pub value: String,
    /// What it means or what is odd about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One field that does not hold what its format allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefectRecord {
    /// The format's own name of the structure.
    pub structure: String,
    /// The format's own name of the field.
    pub field: String,
    /// From the start of the file.
    pub offset_bytes: u64,
    /// In which way.
    pub what: String,
}

impl From<&FieldNote> for FieldRecord {
    fn from(note: &FieldNote) -> Self {
        Self {
            structure: note.structure.clone().into_owned(),
            field: note.field.clone().into_owned(),
            offset_bytes: note.offset_bytes.0,
            length_bytes: note.length_bytes.0,
            value: note.value.clone(),
            note: note.note.clone(),
        }
    }
}

impl From<&Defect> for DefectRecord {
    fn from(defect: &Defect) -> Self {
        Self {
            structure: defect.structure.to_owned(),
            field: defect.field.to_owned(),
            offset_bytes: defect.at.0,
            what: defect.kind.to_string(),
        }
    }
}

/// Writes one file a line, flushed, each with `"record":"file"`; the last line is
/// `{"record":"complete","lines":N}`.
///
/// # Errors
/// As the write says.
pub fn write_lines(out: &mut dyn Write, record: &InspectRecord) -> io::Result<()> {
    #[derive(Serialize)]
    #[serde(tag = "record", rename_all = "kebab-case")]
    enum Line<'a> {
        Schema { schema: &'a str },
        File(&'a InspectedFile),
        Run(&'a RunInfo),
        Complete { lines: usize },
    }
    let mut lines = vec![Line::Schema { schema: &record.schema }];
    lines.extend(record.files.iter().map(Line::File));
    lines.extend(record.run.as_ref().map(Line::Run));
    lines.push(Line::Complete { lines: lines.len() });
    lines.iter().try_for_each(|line| write_line(out, line))
}

/// Writes the files as text, at least 60 columns wide.
///
/// # Errors
/// As the write says.
pub fn write_text(out: &mut dyn Write, record: &InspectRecord, columns: usize) -> io::Result<()> {
    let columns = columns.clamp(60, 200);
    for (i, file) in record.files.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        for line in file_lines(file, columns) {
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    out.flush()
}

fn file_lines(file: &InspectedFile, columns: usize) -> Vec<String> {
    let mut lines = vec![painted(BOLD, &plain_path(&file.path))];
    let mut what = plain(file.format.as_deref().unwrap_or("not a format known here")).into_owned();
    if let Some(rests_on) = &file.rests_on {
        let _ = write!(what, " by {}", plain(rests_on));
    }
    let exact = match file.size_bytes {
        0..1024 => String::new(),
        size => format!(" ({} bytes)", count(size)),
    };
    let _ = write!(what, "; {}{exact}", bytes(file.size_bytes));
    lines.extend(wrap(&what, columns));
    if let Some(error) = &file.error {
        lines.extend(
            wrap(&plain(error), columns - 2).iter().map(|l| painted(BAD, &format!("! {l}"))),
        );
    }

    // Offsets as wide as the last one needs, all alike, so that columns stand.
    let last = file.fields.iter().map(|f| f.offset_bytes);
    let last = last.chain(file.defects.iter().map(|d| d.offset_bytes)).max().unwrap_or(0);
    let digits = format!("{last:x}").len().next_multiple_of(2).max(4);
    let offset = |at: u64| format!("0x{at:0digits$x}");
    let longest = |of: fn(&FieldRecord) -> usize| file.fields.iter().map(of).max().unwrap_or(0);
    let name_room = longest(|f| plain(&f.field).chars().count()).clamp(8, (columns / 3).max(8));
    let length_room = longest(|f| count(f.length_bytes).len()).clamp(1, 16);
    let lead = 2 + 2 + digits + 1 + length_room + 2 + name_room + 2;
    let value_room = columns.saturating_sub(lead).max(16);

    let mut structure = None;
    for field in &file.fields {
        if structure != Some(&field.structure) {
            structure = Some(&field.structure);
            lines.push(painted(BOLD, &format!("  {}", plain(&field.structure))));
        }
        let length =
            if field.length_bytes == 0 { String::new() } else { count(field.length_bytes) };
        // A sum over the whole file has no place.
        let placeless = field.offset_bytes == 0 && field.length_bytes == 0;
        let place = if placeless { " ".repeat(digits + 2) } else { offset(field.offset_bytes) };
        let head = format!(
            "  {} {}  {}",
            painted(DIM, &place),
            right(&length, length_room),
            left(&plain(&field.field), name_room)
        );
        let mut value = wrap(&plain(&field.value), value_room);
        let note = plain(field.note.as_deref().unwrap_or_default());
        let indent = " ".repeat(lead);
        // A short remark stands beside a short value, a long one beneath it.
        if let [only] = value.as_mut_slice()
            && !note.is_empty()
            && only.width() + 2 + note.width() <= value_room
        {
            only.push_str(&format!("  {}", painted(DIM, &note)));
        } else if !note.is_empty() {
            value.extend(wrap(&note, value_room).iter().map(|l| painted(DIM, l)));
        }
        let mut value = value.into_iter();
        lines.push(format!("{head}  {}", value.next().unwrap_or_default()));
        lines.extend(value.map(|l| format!("{indent}{l}")));
    }
    if file.defects.is_empty() && file.error.is_none() && !file.fields.is_empty() {
        lines.push(painted(DIM, "  no defect found in these structures"));
    } else if !file.defects.is_empty() {
        let many = counted(file.defects.len() as u64, "defect");
        lines.push(painted(BAD, &format!("  {many}")));
    }
    let defect_indent = " ".repeat(2 + 2 + digits + 2);
    for defect in &file.defects {
        let text = format!("{}.{}: {}", defect.structure, defect.field, defect.what);
        let mut text = wrap(&plain(&text), columns - defect_indent.len()).into_iter();
        let first = text.next().unwrap_or_default();
        lines.push(format!("  {}  {first}", painted(DIM, &offset(defect.offset_bytes))));
        lines.extend(text.map(|l| format!("{defect_indent}{l}")));
    }
    for finding in &file.findings {
        let text = super::text::finding_line(finding);
        lines.extend(wrap(&text, columns - 4).iter().map(|l| format!("  {l}")));
    }
    lines
}

/// A made-up record for tests.
#[cfg(test)]
pub(crate) fn made() -> InspectRecord {
    use vmglean_formats::{ByteOffset, Bytes, DefectKind};
    let note = |field: &'static str, at: u64, length: u64, value: &str| {
        FieldNote::new("SparseExtentHeader", field, ByteOffset(at), Bytes(length), value)
    };
    let fields = [
        note("magicNumber", 0, 4, "0x564d444b").noted("\"KDMV\""),
        note("version", 4, 4, "1"),
        note("grainSize", 0x14, 8, "96"),
        FieldNote::new(
            "Descriptor",
            "RW 1",
            ByteOffset(0x1_0200),
            Bytes(35),
            "RW 2048 SPARSE \"evil\u{1b}[2J\u{202e}name with a good many words in it.vmdk\" and then more",
        ),
    ];
    let defect = Defect {
        structure: "SparseExtentHeader",
        field: "grainSize",
        at: ByteOffset(0x14),
        kind: DefectKind::NotPowerOfTwo { value: 96 },
    };
    InspectRecord::new(vec![
        InspectedFile {
            path: "ds01/SQL01/SQL01.vmdk".into(),
            size_bytes: 1_310_720,
            format: Some("hosted sparse extent".into()),
            rests_on: Some("magic KDMV at 0x0".into()),
            fields: fields.iter().map(FieldRecord::from).collect(),
            defects: vec![DefectRecord::from(&defect)],
            findings: vec![],
            error: None,
        },
        InspectedFile {
            path: "ds01/x.bin".into(),
            size_bytes: 12,
            format: None,
            rests_on: None,
            fields: vec![],
            defects: vec![],
            findings: vec![],
            error: Some("cannot read 12 at 0x0".into()),
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::{InspectRecord, made, write_lines, write_text};

    fn shown(columns: usize) -> String {
        let mut out = Vec::new();
        write_text(&mut out, &made(), columns).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn a_file_taken_apart_lines_up_its_offsets() {
        insta::assert_snapshot!(shown(100), @r###"
    ds01/SQL01/SQL01.vmdk
    hosted sparse extent by magic KDMV at 0x0; 1.25 MiB (1,310,720 bytes)
      SparseExtentHeader
      0x000000  4  magicNumber  0x564d444b  "KDMV"
      0x000004  4  version      1
      0x000014  8  grainSize    96
      Descriptor
      0x010200 35  RW 1         RW 2048 SPARSE "evil\x1b[2J\u{202e}name with a good many words in
                                it.vmdk" and then more
      1 defect
      0x000014  SparseExtentHeader.grainSize: 96 is not a power of two

    ds01/x.bin
    not a format known here; 12 B
    ! cannot read 12 at 0x0
    "###);
    }

    #[test]
    fn an_inspect_record_reads_back_as_itself_and_its_lines_end_with_a_count() {
        let text = serde_json::to_string(&made()).unwrap();
        assert_eq!(serde_json::from_str::<InspectRecord>(&text).unwrap(), made());
        let mut out = Vec::new();
        write_lines(&mut out, &made()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#"{"record":"schema","schema":"vmglean.inspect/1"}"#));
        assert!(text.ends_with("{\"record\":\"complete\",\"lines\":3}\n"), "{text}");
    }
}
