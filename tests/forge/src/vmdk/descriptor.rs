//! Descriptor texts as the products write them.

use std::fmt::Write as _;

/// One extent line.
#[derive(Clone, Debug)]
pub struct ExtentLine {
    /// `RW`, `RDONLY`, `NOACCESS`.
    pub access: String,
    /// Sectors.
    pub sectors: u64,
    /// `FLAT`, `SPARSE`, `VMFS` and so on.
    pub kind: String,
    /// File name, written in quotes.
    pub name: Option<String>,
    /// Offset in sectors.
    pub offset: Option<u64>,
}

impl ExtentLine {
    /// An `RW` line.
    #[must_use]
    pub fn new(sectors: u64, kind: &str, name: &str) -> Self {
        let offset = (kind == "FLAT").then_some(0);
        Self { access: "RW".into(), sectors, kind: kind.into(), name: Some(name.into()), offset }
    }

    /// A `ZERO` line.
    #[must_use]
    pub fn zero(sectors: u64) -> Self {
        Self { access: "RW".into(), sectors, kind: "ZERO".into(), name: None, offset: None }
    }
}

/// What a descriptor says.
#[derive(Clone, Debug)]
pub struct DescriptorSpec {
    /// `createType`.
    pub create_type: String,
    /// `version`.
    pub version: u32,
    /// `CID`, hex.
    pub cid: u32,
    /// `parentCID`, hex.
    pub parent_cid: u32,
    /// `parentFileNameHint`.
    pub hint: Option<String>,
    /// `changeTrackPath`.
    pub change_track_path: Option<String>,
    /// `encoding`.
    pub encoding: Option<String>,
    /// The extents.
    pub extents: Vec<ExtentLine>,
    /// `ddb.` keys without the prefix.
    pub ddb: Vec<(String, String)>,
    /// CR before every LF.
    pub crlf: bool,
}

impl DescriptorSpec {
    /// A descriptor of this type with one extent and no parent.
    #[must_use]
    pub fn new(create_type: &str, extent: ExtentLine) -> Self {
        Self {
            create_type: create_type.into(),
            version: 1,
            cid: 0xfffffffe,
            parent_cid: 0xffffffff,
            hint: None,
            change_track_path: None,
            encoding: Some("UTF-8".into()),
            extents: vec![extent],
            ddb: vec![
                ("adapterType".into(), "lsilogic".into()),
                ("longContentID".into(), "bd746094172e7bea0b3805d8fffffffe".into()),
                ("uuid".into(), "60 00 C2 9d 7b b2 3a ab-42 e8 01 7f 14 20 40 f3".into()),
                ("virtualHWVersion".into(), "14".into()),
            ],
            crlf: false,
        }
    }

    /// The same descriptor as a child of another one.
    #[must_use]
    pub fn child_of(mut self, parent_cid: u32, hint: &str) -> Self {
        self.parent_cid = parent_cid;
        self.hint = Some(hint.into());
        self
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::from("# Disk DescriptorFile\n");
        let mut line = |text: String| {
            let _ = writeln!(out, "{text}");
        };
        line(format!("version={}", self.version));
        if let Some(encoding) = &self.encoding {
            line(format!("encoding=\"{encoding}\""));
        }
        line(format!("CID={:08x}", self.cid));
        line(format!("parentCID={:08x}", self.parent_cid));
        line(format!("createType=\"{}\"", self.create_type));
        if let Some(hint) = &self.hint {
            line(format!("parentFileNameHint=\"{hint}\""));
        }
        line("\n# Extent description".into());
        for extent in &self.extents {
            let mut text = format!("{} {} {}", extent.access, extent.sectors, extent.kind);
            if let Some(name) = &extent.name {
                let _ = write!(text, " \"{name}\"");
            }
            if let Some(offset) = extent.offset {
                let _ = write!(text, " {offset}");
            }
            line(text);
        }
        if let Some(path) = &self.change_track_path {
            line(format!("\n# Change Tracking File\nchangeTrackPath=\"{path}\""));
        }
        line("\n# The Disk Data Base \n#DDB\n".into());
        for (name, value) in &self.ddb {
            line(format!("ddb.{name} = \"{value}\""));
        }
        if self.crlf { out.replace('\n', "\r\n") } else { out }
    }
}
