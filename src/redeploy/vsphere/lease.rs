//! Import leases: a machine is made, its disks are sent to the host, the lease is closed.

use std::{
    io::Read,
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use reqwest::{Method, Url};

use super::{
    error::{Error, Fault},
    files::Watch,
    http::{Sent, Upload},
    inventory::returned,
    machine::MachineSpec,
    server::Server,
    xml::MoRef,
};

/// Where one disk goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceUrl {
    /// As the server gives it, `*` replaced by the host we speak to.
    pub url: String,
    /// `/machine/VirtualDisk:0` or the like.
    pub import_key: Option<String>,
    /// Whether it is a disk, not a firmware file.
    pub is_disk: bool,
}

/// A lease that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its address.
    pub mo: MoRef,
    /// The machine it makes.
    pub machine: MoRef,
    /// Where things go.
    pub devices: Vec<DeviceUrl>,
    /// It ends when nothing is told for so long.
    pub timeout: Duration,
}

/// How long a lease may take to become ready.
const READY: Duration = Duration::from_secs(300);

impl Server {
    /// Asks for a lease; the machine is made with it.
    ///
    /// # Errors
    /// As the call says. The lease may be there all the same when the error may pass.
    pub fn import(
        &self,
        machine: &MachineSpec,
        pool: &MoRef,
        folder: &MoRef,
        host: Option<&MoRef>,
    ) -> Result<MoRef, Error> {
        let made = self.act("ImportVApp", pool, |xml| {
            xml.typed("spec", "VirtualMachineImportSpec", |xml| {
                xml.element("configSpec", |xml| machine.write(xml));
            });
            xml.object("folder", folder);
            xml.maybe_object("host", host);
        })?;
        returned("ImportVApp", &made)
    }

    /// Waits until a lease is ready.
    ///
    /// # Errors
    /// The lease's own fault.
    pub fn lease_ready(&self, lease: &MoRef, stop: &AtomicBool) -> Result<Lease, Error> {
        let started = Instant::now();
        let what = "HttpNfcLease";
        let unexpected =
            |detail: &str| Error::Unexpected { what: what.to_owned(), detail: detail.to_owned() };
        loop {
            let now = self.properties(lease, &["state", "error", "info"])?;
            match now.text("state") {
                Some("ready") => {
                    let info = now.get("info").ok_or_else(|| unexpected("it says nothing"))?;
                    let machine =
                        info.object_at(&["entity"]).ok_or_else(|| unexpected("no machine"))?;
                    let devices = info
                        .all("deviceUrl")
                        .filter_map(|device| {
                            let url = self.reachable(device.text_at(&["url"])?);
                            if let (Some(thumbprint), Some(gate)) =
                                (device.text_at(&["sslThumbprint"]), self.http.gate())
                                && let Some(host) = Url::parse(&url)
                                    .ok()
                                    .and_then(|u| u.host_str().map(str::to_owned))
                            {
                                gate.vouch(&host, thumbprint);
                            }
                            Some(DeviceUrl {
                                url,
                                import_key: device.text_at(&["importKey"]).map(str::to_owned),
                                is_disk: device.is_true(&["disk"]),
                            })
                        })
                        .collect();
                    let seconds = info.number_at(&["leaseTimeout"]).unwrap_or(300_u64).max(3);
                    let timeout = Duration::from_secs(seconds);
                    return Ok(Lease { mo: lease.clone(), machine, devices, timeout });
                }
                Some("error") => {
                    return Err(now.get("error").map_or_else(
                        || unexpected("it failed without a reason"),
                        |error| Error::Fault(Fault::from_localized("ImportVApp", error)),
                    ));
                }
                Some("initializing") => {}
                other => return Err(unexpected(&format!("its state is {other:?}"))),
            }
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            if started.elapsed() > READY {
                return Err(unexpected("it did not become ready"));
            }
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Hosts that do not know their own name say `*`; it is the one we speak to.
    fn reachable(&self, url: &str) -> String {
        let ours = self.address();
        match url.split_once("://*") {
            Some((_, rest)) => {
                let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
                format!("{}{path}", ours.base())
            }
            None => url.to_owned(),
        }
    }

    /// Sends a stream-optimized disk of known length.
    ///
    /// # Errors
    /// [`Error::Line`], [`Error::Stalled`], [`Error::Http`]; such a lease cannot be gone on with.
    pub fn send_disk<'a>(
        &self,
        device: &DeviceUrl,
        source: Box<dyn Read + Send + 'a>,
        length: u64,
        watch: Watch<'a>,
    ) -> Result<Sent, Error> {
        let host = Url::parse(&device.url)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default();
        let upload = Upload {
            method: Method::POST,
            url: device.url.clone(),
            headers: Vec::new(),
            content_type: "application/x-vnd.vmware-streamVmdk",
            source,
            length,
            moved: watch.moved,
            pace: watch.pace,
            stop: watch.stop,
            stall: watch.stall,
            // Hosts write out what they hold before they answer.
            answer: watch.stall.saturating_mul(5),
        };
        self.http.upload(&format!("sending a disk to {host}"), upload)
    }

    /// Tells the server how far we are, which keeps the lease.
    ///
    /// # Errors
    /// As the call says; a single failure is harmless.
    pub fn lease_progress(&self, lease: &MoRef, percent: u64) -> Result<(), Error> {
        let percent = percent.min(100);
        self.ask("HttpNfcLeaseProgress", lease, |xml| xml.text("percent", percent)).map(|_| ())
    }

    /// All is sent.
    ///
    /// # Errors
    /// As the call says.
    pub fn lease_complete(&self, lease: &MoRef) -> Result<(), Error> {
        self.act("HttpNfcLeaseComplete", lease, |_| {}).map(|_| ())
    }

    /// Gives a lease up, which on real servers removes its machine.
    ///
    /// # Errors
    /// As the call says.
    pub fn lease_abort(&self, lease: &MoRef) -> Result<(), Error> {
        self.act("HttpNfcLeaseAbort", lease, |_| {}).map(|_| ())
    }
}
