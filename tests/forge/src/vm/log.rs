//! `vmware.log` in every form of line prefix.

/// A form of line prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Apr 18 00:25:37: vmx| `
    Seconds,
    /// `Apr 18 00:25:37.603: vmx| `
    Old,
    /// `2012-08-11T02:44:28.797Z| vmx| `
    Esxi5,
    /// `2016-08-26T09:10:02.904+05:30| vmx| I120: `
    Level,
    /// `…Z| vmx| | I125: `
    OperationId,
    /// `…Z In(05) vmx `
    Bracket,
    /// `…Z In(05) vmx - `
    Esxi8,
}

/// Every form.
pub const FORMS: [Form; 7] = [
    Form::Seconds,
    Form::Old,
    Form::Esxi5,
    Form::Level,
    Form::OperationId,
    Form::Bracket,
    Form::Esxi8,
];

/// Builds one log.
#[derive(Clone, Debug)]
pub struct Log {
    form: Form,
    second: u32,
    text: Vec<u8>,
}

impl Log {
    /// An empty log.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self { form, second: 0, text: Vec::new() }
    }

    /// One line.
    pub fn line(&mut self, message: &str) -> &mut Self {
        let clock = format!(
            "{:02}:{:02}:{:02}",
            10 + self.second / 3600,
            self.second / 60 % 60,
            self.second % 60
        );
        let iso = format!("2023-05-06T{clock}.250");
        let prefix = match self.form {
            Form::Seconds => format!("Apr 18 {clock}: vmx| "),
            Form::Old => format!("Apr 18 {clock}.603: vmx| "),
            Form::Esxi5 => format!("{iso}Z| vmx| "),
            Form::Level => format!("{iso}+05:30| vmx| I120: "),
            Form::OperationId => format!("{iso}Z| vmx| | I125: "),
            Form::Bracket => format!("{iso}Z In(05) vmx "),
            Form::Esxi8 => format!("{iso}Z In(05) vmx - "),
        };
        self.text.extend_from_slice(format!("{prefix}{message}\n").as_bytes());
        self.second += 1;
        self
    }

    /// The first lines.
    pub fn start(&mut self) -> &mut Self {
        self.line(
            "Log for VMware ESX pid=2100123 version=7.0.3 build=build-19193900 option=Release",
        )
        .line("Host codepage=UTF-8 encoding=UTF-8")
        .line("Hostname=esx01.example.net")
    }

    /// The sections of a power-on; values quoted as newer products print them.
    pub fn power_on(&mut self, path: &str, pairs: &[(String, String)], quoted: bool) -> &mut Self {
        self.line("DICT --- USER PREFERENCES").line("DICT   pref.foreign = \"no\"");
        self.line(&format!("DICT --- CONFIGURATION {path} "));
        for (key, value) in pairs {
            let escaped = super::text::escaped(value);
            let value = if quoted { escaped.as_str() } else { escaped.trim_matches('"') };
            self.line(&format!("DICT {key:>25} = {value}"));
        }
        self.line("DICT --- USER DEFAULTS ").line("DICT   pref.foreign = \"no\"");
        self.line("UUID: location-UUID is 56 4d 01 23 45 67 89 ab-cd ef 01 23 45 67 89 ab")
    }

    /// What the disk library says of a chain, tip first: descriptor, extent, its bytes.
    pub fn open_chain(
        &mut self,
        node: &str,
        links: &[(&str, &str, u64)],
        sectors: u64,
    ) -> &mut Self {
        let tip = links[0].0;
        self.line(&format!("DISK: OPEN {node} '{tip}' persistent R[]"));
        for (descriptor, extent, bytes) in links {
            let kind = if extent.ends_with("-flat.vmdk") { ("vmfs", 3) } else { ("vmfsSparse", 8) };
            self.line(&format!(
                "DISKLIB-VMFS  : \"/vmfs/volumes/ds/{extent}\" : open successful (10) size = {bytes}, hd = 0. Type {}",
                kind.1
            ));
            self.line(&format!("DISKLIB-DSCPTR: Opened [0]: \"{extent}\" (0xa)"));
            self.line(&format!(
                "DISKLIB-LINK  : Opened '{descriptor}' (0xa): {}, {sectors} sectors / 16 GB.",
                kind.0
            ));
        }
        self.line(&format!("DISKLIB-LIB   : Opened \"{tip}\" (flags 0xa, type vmfs)."));
        self.line("DISKLIB-DDB   : \"longContentID\" = \"aabbccdd\" (was \"11223344\")");
        self.line(&format!(
            "DISK: Disk '{tip}' has UUID '60 00 c2 9a 00 11 22 33-44 55 66 77 88 99 aa bb'"
        ));
        self.line(&format!("DISK: OPEN '{tip}' Geo (1044/255/63) BIOS Geo (0/0/0)"));
        self.line(&format!("DISKUTIL: {node} : capacity={sectors} logical sector size=512"));
        self.line(&format!("DISKUTIL: {node} : geometry=1044/255/63"))
    }

    /// The log so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.text.clone()
    }
}
