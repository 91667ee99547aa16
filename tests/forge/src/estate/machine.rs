//! The files of one machine as a host leaves them in its folder.

use super::Estate;
use crate::vm::{
    checkpoint,
    log::{Form, Log},
    nvram,
    text::{self, Machine, Snapshot},
};
use crate::vmdk::descriptor::{DescriptorSpec, ExtentLine};

/// One machine before anything happens to it.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// Folder below the estate.
    pub(super) folder: String,
    /// `displayName`, and the stem of its files.
    pub(super) name: String,
    /// Distinguishes its ids from the others'.
    pub(super) number: u8,
    /// `guestOS`.
    pub(super) guest: &'static str,
    /// Firmware is EFI.
    pub(super) efi: bool,
    /// Node and file of each disk.
    pub(super) disks: Vec<(String, String)>,
    /// Further lines of its configuration.
    pub(super) extra: Vec<(String, String)>,
}

/// One link of a chain as logs tell it: descriptor, extent, its bytes.
pub(super) type LogLink = (String, String, u64);

impl Made {
    /// A machine with one disk of its name.
    #[must_use]
    pub(super) fn new(datastore: &str, name: &str, number: u8, guest: &'static str) -> Self {
        Self {
            folder: format!("{datastore}/{name}"),
            name: name.to_owned(),
            number,
            guest,
            efi: false,
            disks: vec![("scsi0:0".to_owned(), format!("{name}.vmdk"))],
            extra: Vec::new(),
        }
    }

    /// Path of one of its files; `{}` stands for its name.
    #[must_use]
    pub(super) fn path(&self, file: &str) -> String {
        format!("{}/{}", self.folder, file.replace("{}", &self.name))
    }

    /// Key and value of every line of its configuration.
    #[must_use]
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let n = self.number;
        let machine = Machine {
            name: self.name.clone(),
            disks: self.disks.clone(),
            memory_mib: 4096,
            efi: self.efi,
            extra: self.extra.clone(),
        };
        let mut pairs = machine.pairs();
        let uuid = format!("56 4d {n:02x} 45 67 89 ab cd-ef 01 23 45 67 89 ab {n:02x}");
        for (key, value) in [
            ("guestOS", self.guest.to_owned()),
            ("uuid.bios", uuid.clone()),
            ("uuid.location", uuid),
            ("vc.uuid", format!("52 00 {n:02x} 22 33 44 55 66-77 88 99 aa bb cc dd {n:02x}")),
            ("ethernet0.generatedAddress", format!("00:50:56:8c:31:{n:02x}")),
            ("annotation", "Owner: IT operations\nBackup: nightly".to_owned()),
        ] {
            if let Some(pair) = pairs.iter_mut().find(|(known, _)| known == key) {
                pair.1 = value;
            }
        }
        let bridges = (0..4).flat_map(|bridge| {
            let bus = format!("pciBridge{bridge}");
            [
                (format!("{bus}.present"), "TRUE".to_owned()),
                (format!("{bus}.pciSlotNumber"), (17 + bridge).to_string()),
            ]
        });
        pairs.extend(bridges);
        for (key, value) in [
            ("scsi0.present", "TRUE"),
            ("scsi0.virtualDev", "pvscsi"),
            ("tools.syncTime", "FALSE"),
            ("svga.present", "TRUE"),
        ] {
            pairs.push((key.to_owned(), value.to_owned()));
        }
        pairs
    }

    /// Its `.vmx`.
    #[must_use]
    pub(super) fn vmx(&self) -> Vec<u8> {
        text::dictionary(Some("UTF-8"), &self.pairs())
    }

    /// Its `.nvram`.
    #[must_use]
    pub(super) fn nvram(&self) -> Vec<u8> {
        if self.efi {
            nvram::efi(&[("BootOrder", &[0, 0]), ("Lang", b"eng")])
        } else {
            nvram::bios()
        }
    }

    /// Puts everything but disks and snapshots: configuration, firmware memory, logs.
    pub(super) fn small_files(&self, estate: &mut Estate, chain: &[LogLink]) {
        estate.put(self.path("{}.vmx"), self.vmx());
        estate.put(self.path("{}.vmxf"), text::vmxf(&format!("{}.vmx", self.name)));
        estate.put(self.path("{}.vmsd"), text::vmsd(&[], 0, false));
        estate.put(self.path("{}.nvram"), self.nvram());
        estate.put(self.path("vmware.log"), self.log(chain, false));
        estate.put(self.path("vmware-1.log"), self.log(chain, true));
    }

    fn log(&self, chain: &[LogLink], ended: bool) -> Vec<u8> {
        let path = format!("/vmfs/volumes/{}/{}.vmx", self.folder, self.name);
        let mut log = Log::new(Form::Bracket);
        log.start().power_on(&path, &self.pairs(), true);
        if let Some((_, _, bytes)) = chain.last() {
            let links: Vec<(&str, &str, u64)> =
                chain.iter().map(|(a, b, bytes)| (a.as_str(), b.as_str(), *bytes)).collect();
            log.open_chain("scsi0:0", &links, bytes / 512);
        }
        log.line("PowerOnDone: Module DevicePowerOn power on succeeded")
            .line("Tools: ToolsRunningStatus_Change, delta: 0 us")
            .line("GuestRpc: Channel 0, registration number 1, guest application toolbox");
        if ended {
            log.line("Tools: Changing running status: 1 => 0.")
                .line("Destroying virtual dev for scsi0:0 vscsi=8192")
                .line("VMX exit (0).");
        }
        log.bytes()
    }

    /// A flat disk with its descriptor. `stem` is `{}` for the first one.
    pub(super) fn flat(&self, estate: &mut Estate, stem: &str, content: Vec<u8>) -> LogLink {
        let sectors = content.len() as u64 / 512;
        let extent = format!("{}-flat.vmdk", stem.replace("{}", &self.name));
        let spec = self.describe("vmfs", ExtentLine::new(sectors, "VMFS", &extent), 0);
        let file = self.path(&format!("{stem}.vmdk"));
        estate.put(file, spec.text().into_bytes());
        let bytes = content.len() as u64;
        estate.put(self.path(&extent), content);
        (format!("{}.vmdk", stem.replace("{}", &self.name)), extent, bytes)
    }

    /// The descriptor of this machine's link number `link`, 0 for the base.
    #[must_use]
    pub(super) fn describe(
        &self,
        create_type: &str,
        extent: ExtentLine,
        link: u8,
    ) -> DescriptorSpec {
        let cylinders = (extent.sectors / 16065).max(1);
        let mut spec = DescriptorSpec::new(create_type, extent);
        spec.cid = self.cid(link);
        let n = self.number;
        spec.ddb = vec![
            ("adapterType".into(), "lsilogic".into()),
            ("geometry.cylinders".into(), cylinders.to_string()),
            ("geometry.heads".into(), "255".into()),
            ("geometry.sectors".into(), "63".into()),
            ("longContentID".into(), format!("5a17c3e09b2d4f6188aa00{n:02x}{:08x}", spec.cid)),
            ("thinProvisioned".into(), "1".into()),
            ("uuid".into(), format!("60 00 C2 9d 7b b2 3a {n:02x}-42 e8 01 7f 14 20 40 {n:02x}")),
            ("virtualHWVersion".into(), "19".into()),
        ];
        if link > 0 {
            let hint = match link {
                1 => format!("{}.vmdk", self.name),
                above => format!("{}-{:06}.vmdk", self.name, above - 1),
            };
            spec = spec.child_of(self.cid(link - 1), &hint);
        }
        spec
    }

    /// Content id of link number `link`.
    #[must_use]
    pub(super) fn cid(&self, link: u8) -> u32 {
        0x6b20_0000 + u32::from(self.number) * 256 + u32::from(link)
    }

    /// Snapshot list and state of one snapshot whose disk is now at link 1.
    pub(super) fn snapshot(&mut self, estate: &mut Estate, title: &str) {
        let before = self.vmx();
        let frozen = self.disks.clone();
        for disk in &mut self.disks {
            disk.1 = disk.1.replace(".vmdk", "-000001.vmdk");
        }
        let snapshot = Snapshot {
            uid: 1,
            parent: None,
            file: format!("{}-Snapshot1.vmsn", self.name),
            name: title.to_owned(),
            created_us: 1_683_280_800_000_000,
            disks: frozen,
        };
        let state = checkpoint::disk_only(
            checkpoint::MAGICS[2],
            &before,
            &self.nvram(),
            &text::vmxf(&format!("{}.vmx", self.name)),
        );
        estate.put(self.path(&snapshot.file), state);
        estate.put(self.path("{}.vmx"), self.vmx());
        estate.put(self.path("{}.vmsd"), text::vmsd(&[snapshot], 1, false));
    }

    /// Changed block tracking beside a flat disk of `bytes`.
    pub(super) fn change_tracking(&self, estate: &mut Estate, bytes: u64) {
        let mut file = vec![0; 512 + 4 * bytes.div_ceil(65_536) as usize];
        for (at, value) in [(0, 0xf619_72a2_u32), (4, 1), (12, 512), (32, 7)] {
            file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for (n, byte) in file[44..60].iter_mut().enumerate() {
            *byte = 0x52 ^ (n as u8).wrapping_mul(31) ^ self.number;
        }
        for (n, block) in file[512..].chunks_exact_mut(4).enumerate() {
            block[0] = (n % 7) as u8;
        }
        estate.put(self.path("{}-ctk.vmdk"), file);
    }
}
