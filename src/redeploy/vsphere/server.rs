//! One server and our session on it.

use std::{
    sync::{
        Arc, Mutex, Weak,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use reqwest::{
    Method,
    header::{COOKIE, HeaderName},
};

use super::{
    address::{Address, Credentials},
    error::{Error, Fault},
    http::{Http, refused},
    tls::Trust,
    xml::{MoRef, Node, Xml},
};

/// The newest version whose number we speak; members are those of 6.5 whatever it says.
const NEWEST: &str = "8.0.3.0";
/// Servers forget a session after 30 idle minutes, and an upload does not count as activity.
const KEEP_ALIVE: Duration = Duration::from_secs(240);
const CALL_LIMIT: Duration = Duration::from_secs(120);
const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");

/// What the server says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// `VMware vCenter Server 8.0.3 build-…`.
    pub full_name: String,
    /// `8.0.3.0`.
    pub api_version: String,
    /// Whether it is a vCenter; else a bare host.
    pub is_vcenter: bool,
    /// A vCenter's own id.
    pub instance_uuid: Option<String>,
}

/// The managers' addresses; differ from product to product.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) session_manager: MoRef,
    pub(super) collector: MoRef,
    pub(super) views: MoRef,
    pub(super) root: MoRef,
    pub(super) files: MoRef,
    pub(super) licences: Option<MoRef>,
    pub(super) rights: Option<MoRef>,
}

#[derive(Default)]
struct Session {
    cookie: Option<String>,
    /// What the server calls it; as good as the cookie on some.
    key: Option<String>,
    /// Counts logins: a thread that failed under an older one need not log in again.
    generation: u64,
    /// A login that failed is never tried again.
    refused: bool,
}

impl std::fmt::Debug for Session {
    /// Without what lets others in.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session {{ open: {}, generation: {} }}", self.cookie.is_some(), self.generation)
    }
}

/// A server we are logged in to. Shared by threads; logs out when dropped.
#[derive(Debug)]
pub struct Server {
    pub(super) http: Http,
    address: Address,
    credentials: Credentials,
    action: String,
    about: About,
    pub(super) content: Content,
    session: Mutex<Session>,
    keep_alive: Mutex<Option<Sender<()>>>,
}

impl Server {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] on first contact, [`Error::WrongCertificate`] against the
    /// pin, a fault `InvalidLogin` for a wrong password (tried once only), and line errors.
    pub fn connect(
        address: &Address,
        credentials: Credentials,
        trust: Trust,
    ) -> Result<Arc<Self>, Error> {
        Self::connect_with(address, credentials, trust, KEEP_ALIVE)
    }

    /// The same with another interval of the keep-alive call.
    ///
    /// # Errors
    /// As [`Server::connect`].
    pub fn connect_with(
        address: &Address,
        credentials: Credentials,
        trust: Trust,
        keep_alive: Duration,
    ) -> Result<Arc<Self>, Error> {
        let http = Http::new(&address.host, address.tls, trust)?;
        let instance = MoRef::new("ServiceInstance", "ServiceInstance");
        let body = Xml::call("RetrieveServiceContent", &instance, |_| {});
        // The lowest version that all servers we speak to know, until theirs is known.
        let found = soap(&http, address, "urn:vim25/6.5", None, "RetrieveServiceContent", body)?;
        let node = found.0;
        let what = "RetrieveServiceContent";
        let missing = |name: &str| Error::Unexpected {
            what: what.to_owned(),
            detail: format!("the answer has no {name}; is this a vCenter or ESXi host?"),
        };
        let value = node.child("returnval").ok_or_else(|| missing("returnval"))?;
        let object = |name: &str| value.object_at(&[name]).ok_or_else(|| missing(name));
        let content = Content {
            session_manager: object("sessionManager")?,
            collector: object("propertyCollector")?,
            views: object("viewManager")?,
            root: object("rootFolder")?,
            files: object("fileManager")?,
            licences: value.object_at(&["licenseManager"]),
            rights: value.object_at(&["authorizationManager"]),
        };
        let word = |path: &[&str]| value.text_at(path).unwrap_or_default().to_owned();
        let about = About {
            full_name: word(&["about", "fullName"]),
            api_version: word(&["about", "apiVersion"]),
            is_vcenter: value.text_at(&["about", "apiType"]) == Some("VirtualCenter"),
            instance_uuid: value.text_at(&["about", "instanceUuid"]).map(str::to_owned),
        };
        let version = numbers(&about.api_version).min(numbers(NEWEST));
        if version < numbers("6.5") {
            let detail = format!("{} is older than 6.5, which is not supported", about.full_name);
            return Err(Error::Unexpected { what: "connecting".to_owned(), detail });
        }
        let spoken =
            if version == numbers(NEWEST) { NEWEST } else { about.api_version.as_str() }.to_owned();
        let server = Arc::new(Self {
            http,
            address: address.clone(),
            credentials,
            action: format!("urn:vim25/{spoken}"),
            about,
            content,
            session: Mutex::default(),
            keep_alive: Mutex::default(),
        });
        server.log_in(0)?;
        server.keep_alive(keep_alive);
        Ok(server)
    }

    /// What the server says it is.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The user we are logged in as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.credentials.user
    }

    /// Names of the licences in use; none where they may not be read.
    #[must_use]
    pub fn licence_names(&self) -> Vec<String> {
        let Some(manager) = &self.content.licences else { return Vec::new() };
        let Ok(found) = self.properties(manager, &["licenses"]) else { return Vec::new() };
        found
            .get("licenses")
            .map(|list| {
                list.children
                    .iter()
                    .filter_map(|licence| licence.text_at(&["name"]).map(str::to_owned))
                    .collect()
            })
            .unwrap_or_default()
    }

    /// A call that changes nothing and may be repeated: tried again when the line breaks or the
    /// session was lost.
    ///
    /// # Errors
    /// The last try's.
    pub fn ask(
        &self,
        method: &str,
        this: &MoRef,
        parameters: impl Fn(&mut Xml),
    ) -> Result<Node, Error> {
        let mut pause = Duration::from_millis(200);
        let mut tries = 0;
        loop {
            let generation = self.generation();
            let failed = match self.call(method, this, &parameters) {
                Ok(node) => return Ok(node),
                Err(error) => error,
            };
            tries += 1;
            if tries > 3 || !failed.may_pass() {
                return Err(failed);
            }
            if failed.fault_kind() == Some("NotAuthenticated") {
                self.log_in(generation)?;
            } else {
                thread::sleep(pause);
                pause *= 2;
            }
        }
    }

    /// A call that makes or changes something: sent once. A session that was lost is renewed and
    /// the call sent again, because the server refused it before doing anything.
    ///
    /// # Errors
    /// Where the error [may pass](Error::may_pass), the call may have happened all the same:
    /// look before it is sent again.
    pub fn act(
        &self,
        method: &str,
        this: &MoRef,
        parameters: impl Fn(&mut Xml),
    ) -> Result<Node, Error> {
        let generation = self.generation();
        match self.call(method, this, &parameters) {
            Err(error) if error.fault_kind() == Some("NotAuthenticated") => {
                self.log_in(generation)?;
                self.call(method, this, &parameters)
            }
            other => other,
        }
    }

    fn call(
        &self,
        method: &str,
        this: &MoRef,
        parameters: &dyn Fn(&mut Xml),
    ) -> Result<Node, Error> {
        let body = Xml::call(method, this, parameters);
        let cookie = self.cookie();
        soap(&self.http, &self.address, &self.action, cookie, method, body).map(|(node, _)| node)
    }

    /// Logs in again unless another thread did since `generation`.
    pub(super) fn log_in(&self, generation: u64) -> Result<(), Error> {
        let Ok(mut session) = self.session.lock() else { return Err(Error::Stopped) };
        if session.generation != generation {
            return Ok(());
        }
        let what = "Login";
        if session.refused {
            let detail = "refused before; not tried again".to_owned();
            return Err(Error::Unexpected { what: what.to_owned(), detail });
        }
        let body = Xml::call(what, &self.content.session_manager, |xml| {
            xml.text("userName", &self.credentials.user);
            xml.text("password", self.credentials.password());
        });
        match soap(&self.http, &self.address, &self.action, None, what, body) {
            Ok((said, cookie)) => {
                session.cookie = cookie.or(session.cookie.take());
                session.key = said.text_at(&["returnval", "key"]).map(str::to_owned);
                session.generation += 1;
                Ok(())
            }
            Err(error) => {
                session.refused = error.fault_kind().is_some();
                Err(error)
            }
        }
    }

    pub(super) fn cookie(&self) -> Option<String> {
        self.session.lock().ok()?.cookie.clone()
    }

    pub(super) fn session_key(&self) -> Option<String> {
        self.session.lock().ok()?.key.clone()
    }

    pub(super) fn generation(&self) -> u64 {
        self.session.lock().map(|session| session.generation).unwrap_or_default()
    }

    fn keep_alive(self: &Arc<Self>, every: Duration) {
        let (end, ended) = channel();
        let server: Weak<Self> = Arc::downgrade(self);
        thread::spawn(move || {
            let instance = MoRef::new("ServiceInstance", "ServiceInstance");
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(every) {
                let Some(server) = server.upgrade() else { break };
                // A failure here shows in the next call that matters.
                let _ = server.ask("CurrentTime", &instance, |_| {});
            }
        });
        if let Ok(mut slot) = self.keep_alive.lock() {
            *slot = Some(end);
        }
    }

    /// Ends the session. Nothing is said about a failure: the server ends idle ones itself.
    pub fn log_out(&self) {
        if let Ok(mut slot) = self.keep_alive.lock() {
            slot.take();
        }
        let Some(cookie) = self.session.lock().ok().and_then(|mut s| s.cookie.take()) else {
            return;
        };
        let body = Xml::call("Logout", &self.content.session_manager, |_| {});
        let _ = soap(&self.http, &self.address, &self.action, Some(cookie), "Logout", body);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.log_out();
    }
}

fn soap(
    http: &Http,
    address: &Address,
    action: &str,
    cookie: Option<String>,
    method: &str,
    body: String,
) -> Result<(Node, Option<String>), Error> {
    let mut headers = vec![(SOAP_ACTION, action.to_owned())];
    headers.extend(cookie.map(|cookie| (COOKIE, cookie)));
    let url = format!("{}/sdk", address.base());
    let answer = http.ask(method, Method::POST, &url, &headers, Some(body), CALL_LIMIT)?;
    if !matches!(answer.status, 200 | 500) {
        return Err(refused(method, &answer));
    }
    let reply = |source| Error::Reply { what: method.to_owned(), source };
    let envelope = match Node::parse(&answer.body) {
        Ok(envelope) => envelope,
        // An error page rather than a fault.
        Err(_) if answer.status != 200 => return Err(refused(method, &answer)),
        Err(source) => return Err(reply(source)),
    };
    let inner = envelope.child("Body").and_then(|body| body.children.first()).cloned();
    let unexpected =
        || Error::Unexpected { what: method.to_owned(), detail: "the answer is empty".to_owned() };
    let inner = inner.ok_or_else(unexpected)?;
    if inner.name == "Fault" {
        return Err(Error::Fault(Fault::from_soap(method, &inner)));
    }
    Ok((inner, answer.cookie))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}
