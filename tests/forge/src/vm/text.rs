//! Dictionary files: `.vmx`, `.vmsd`; and the XML `.vmxf`.

use std::fmt::Write as _;

/// A value as VMware's writer escapes it, quotes included.
#[must_use]
pub fn escaped(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        let code = c as u32;
        let plain = code == 9 || (code >= 0x20 && code != 0x22 && code != 0x7c && code != 0x7f);
        if plain {
            out.push(c);
        } else {
            let _ = write!(out, "|{code:02X}");
        }
    }
    out + "\""
}

/// A dictionary in UTF-8 with one line a pair, `.encoding` first where wanted.
#[must_use]
pub fn dictionary(encoding: Option<&str>, pairs: &[(String, String)]) -> Vec<u8> {
    let mut out = String::new();
    if let Some(encoding) = encoding {
        let _ = writeln!(out, ".encoding = \"{encoding}\"");
    }
    for (key, value) in pairs {
        let _ = writeln!(out, "{key} = {}", escaped(value));
    }
    out.into_bytes()
}

/// What a forged machine has.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `displayName`.
    pub name: String,
    /// Node and file of each disk.
    pub disks: Vec<(String, String)>,
    /// `memsize`.
    pub memory_mib: u64,
    /// `firmware = "efi"`.
    pub efi: bool,
    /// Any further lines.
    pub extra: Vec<(String, String)>,
}

impl Machine {
    /// A small server with one disk.
    #[must_use]
    pub fn server(name: &str) -> Self {
        Self {
            name: name.into(),
            disks: vec![("scsi0:0".into(), format!("{name}.vmdk"))],
            memory_mib: 4096,
            efi: true,
            extra: Vec::new(),
        }
    }

    /// Key and value of every line of its `.vmx`.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        let fixed = [
            ("config.version", "8"),
            ("virtualHW.version", "19"),
            ("guestOS", "windows2019srv-64"),
            ("numvcpus", "2"),
            ("uuid.bios", "56 4d 01 23 45 67 89 ab-cd ef 01 23 45 67 89 ab"),
            ("uuid.location", "56 4d 01 23 45 67 89 ab-cd ef 01 23 45 67 89 ab"),
            ("vc.uuid", "52 00 11 22 33 44 55 66-77 88 99 aa bb cc dd ee"),
            ("ethernet0.present", "TRUE"),
            ("ethernet0.virtualDev", "vmxnet3"),
            ("ethernet0.networkName", "VM Network"),
            ("ethernet0.addressType", "vpx"),
            ("ethernet0.generatedAddress", "00:50:56:aa:bb:cc"),
            ("annotation", "first line\nsecond \"quoted\" | piped"),
            ("cleanShutdown", "FALSE"),
        ];
        let mut pairs: Vec<(String, String)> =
            fixed.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let mut add = |key: String, value: String| pairs.push((key, value));
        add("displayName".into(), self.name.clone());
        add("memsize".into(), self.memory_mib.to_string());
        add("nvram".into(), format!("{}.nvram", self.name));
        add("extendedConfigFile".into(), format!("{}.vmxf", self.name));
        if self.efi {
            add("firmware".into(), "efi".into());
        }
        for (node, file) in &self.disks {
            add(format!("{node}.present"), "TRUE".into());
            add(format!("{node}.deviceType"), "scsi-hardDisk".into());
            add(format!("{node}.fileName"), file.clone());
        }
        pairs.extend(self.extra.iter().cloned());
        pairs
    }

    /// Its `.vmx`.
    #[must_use]
    pub fn vmx(&self) -> Vec<u8> {
        dictionary(Some("UTF-8"), &self.pairs())
    }
}

/// One snapshot of a forged tree.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// `uid`.
    pub uid: u64,
    /// `parent`.
    pub parent: Option<u64>,
    /// `filename`.
    pub file: String,
    /// `displayName`.
    pub name: String,
    /// Microseconds since 1970.
    pub created_us: u64,
    /// Node and frozen file.
    pub disks: Vec<(String, String)>,
}

/// A `.vmsd`.
#[must_use]
pub fn vmsd(snapshots: &[Snapshot], current: u64, need_consolidate: bool) -> Vec<u8> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |key: String, value: String| pairs.push((key, value));
    let last = snapshots.iter().map(|snapshot| snapshot.uid).max().unwrap_or(0);
    add("snapshot.lastUID".into(), last.to_string());
    add("snapshot.current".into(), current.to_string());
    for (n, snapshot) in snapshots.iter().enumerate() {
        add(format!("snapshot{n}.uid"), snapshot.uid.to_string());
        add(format!("snapshot{n}.filename"), snapshot.file.clone());
        if let Some(parent) = snapshot.parent {
            add(format!("snapshot{n}.parent"), parent.to_string());
        }
        add(format!("snapshot{n}.displayName"), snapshot.name.clone());
        add(format!("snapshot{n}.type"), "1".into());
        let (high, low) = ((snapshot.created_us >> 32) as u32, snapshot.created_us as u32);
        add(format!("snapshot{n}.createTimeHigh"), (high as i32).to_string());
        add(format!("snapshot{n}.createTimeLow"), (low as i32).to_string());
        add(format!("snapshot{n}.numDisks"), snapshot.disks.len().to_string());
        for (m, (node, file)) in snapshot.disks.iter().enumerate() {
            add(format!("snapshot{n}.disk{m}.fileName"), file.clone());
            add(format!("snapshot{n}.disk{m}.node"), node.clone());
        }
    }
    add("snapshot.numSnapshots".into(), snapshots.len().to_string());
    if need_consolidate {
        add("snapshot.needConsolidate".into(), "TRUE".into());
    }
    dictionary(Some("UTF-8"), &pairs)
}

/// Three snapshots in a line, the last one current.
#[must_use]
pub fn three_snapshots() -> Vec<Snapshot> {
    (1..=3)
        .map(|uid| Snapshot {
            uid,
            parent: (uid > 1).then(|| uid - 1),
            file: format!("server-Snapshot{uid}.vmsn"),
            name: format!("before patch {uid}"),
            created_us: 1_600_000_000_000_000 + uid * 86_400_000_000,
            disks: vec![(
                "scsi0:0".into(),
                if uid == 1 { "server.vmdk".into() } else { format!("server-{:06}.vmdk", uid - 1) },
            )],
        })
        .collect()
}

/// A `.vmxf`.
#[must_use]
pub fn vmxf(vmx_name: &str) -> Vec<u8> {
    let name = vmx_name.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<?xml version=\"1.0\"?>\n<Foundry>\n<VM>\n\
         <VMId type=\"string\">52 b3 e5 a8 01 7a 88 40-c0 de 90 13 a3 32 8e 96</VMId>\n\
         <ClientMetaData>\n<clientMetaDataAttributes/>\n<HistoryEventList/></ClientMetaData>\n\
         <vmxPathName type=\"string\">{name}</vmxPathName></VM></Foundry>\n"
    )
    .into_bytes()
}
