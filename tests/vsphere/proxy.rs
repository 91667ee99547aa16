//! A proxy on loopback that keeps what passes and breaks what a rule names.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// The line is cut after so many bytes of the body; what came stays on the server.
    Cut(usize),
    /// This status, after so many bytes of the body; nothing is handed on.
    Status(u16, usize),
    /// The request is handed on, the answer is lost.
    Lost,
    /// Nothing is read after so many bytes, for so long.
    Stall(usize, Duration),
    /// The session is gone.
    NotAuthenticated,
    /// This answer instead of the server's, which is not asked.
    Say(u16, &'static str),
}

#[derive(Clone, Debug)]
pub struct Rule {
    /// What the request line, or the SOAP method and its body, must contain.
    pub of: String,
    pub action: Action,
}

#[derive(Clone, Debug)]
pub struct Upload {
    pub path: String,
    pub whole: bool,
    pub sha256: String,
    pub file: PathBuf,
}

#[derive(Debug, Default)]
pub struct State {
    upstream: String,
    dir: PathBuf,
    /// Each is used once, in order.
    pub rules: Mutex<Vec<Rule>>,
    pub uploads: Mutex<Vec<Upload>>,
    pub calls: Mutex<Vec<String>>,
    count: AtomicUsize,
    /// Bytes of files that were asked for.
    pub fetched: AtomicUsize,
    /// Held by the one call that is handed on: the simulator can stand still for good when
    /// machines are made side by side. Uploads are not held up by it.
    turn: Mutex<()>,
    /// Requests that are still answered.
    pub left: AtomicUsize,
    /// Whether later ones are held for good instead of dropped.
    pub hold: AtomicBool,
    /// Session cookies that passed; they must be found nowhere else.
    pub cookies: Mutex<BTreeSet<String>>,
}

pub struct Proxy {
    pub address: String,
    pub state: Arc<State>,
}

impl Proxy {
    pub fn start(upstream: &str, dir: PathBuf) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            dir,
            left: AtomicUsize::new(usize::MAX),
            ..State::default()
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || {
                    let _ = state.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn rule(&self, of: &str, action: Action) {
        self.state.rules.lock().unwrap().push(Rule { of: of.to_owned(), action });
    }

    pub fn calls(&self, method: &str) -> usize {
        self.state.calls.lock().unwrap().iter().filter(|call| *call == method).count()
    }

    pub fn uploads(&self) -> Vec<Upload> {
        self.state.uploads.lock().unwrap().clone()
    }
}

impl State {
    fn serve(&self, client: &TcpStream) -> std::io::Result<()> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            while self.hold.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            return Ok(());
        }
        if left != usize::MAX {
            self.left.store(left - 1, Ordering::SeqCst);
        }
        let mut reader = BufReader::new(client);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            headers.push(line);
        }
        let header = |name: &str| {
            headers.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        if let Some(cookie) = header("cookie") {
            let value = cookie.rsplit('=').next().unwrap_or_default().trim_matches('"').to_owned();
            self.cookies.lock().unwrap().insert(value);
        }
        let length: usize = header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut words = first.split(' ');
        let (method, path) = (
            words.next().unwrap_or_default().to_owned(),
            words.next().unwrap_or_default().to_owned(),
        );
        let is_upload =
            path.starts_with("/nfc") || (method == "PUT" && path.starts_with("/folder"));
        if path.starts_with("/folder") && header("cookie").is_none() {
            return answer(client, 401, "");
        }
        if is_upload {
            return self.upload(client, &mut reader, &first, &method, &path, &headers, length);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut action = None;
        if path == "/sdk" {
            let text = String::from_utf8_lossy(&body);
            let call = text
                .split("<e:Body><")
                .nth(1)
                .and_then(|rest| rest.split(' ').next())
                .unwrap_or_default()
                .to_owned();
            let number = self.count.fetch_add(1, Ordering::SeqCst);
            std::fs::write(self.dir.join(format!("soap-{number:05}.xml")), &body)?;
            action = self.take(&format!("{call} {text}"));
            self.calls.lock().unwrap().push(call);
        } else if path.starts_with("/folder") {
            action = self.take(&format!("{method} {path}"));
        }
        match action {
            Some(Action::Status(status, _)) => return answer(client, status, "<html>busy</html>"),
            Some(Action::Say(status, body)) => return answer(client, status, body),
            Some(Action::NotAuthenticated) => {
                return answer(
                    client,
                    500,
                    r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault><faultcode>ServerFaultCode</faultcode><faultstring>The session is not authenticated.</faultstring><detail><NotAuthenticatedFault xmlns="urn:vim25" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="NotAuthenticated"/></detail></e:Fault></e:Body></e:Envelope>"#,
                );
            }
            _ => {}
        }
        let reply = {
            let _turn = self.turn.lock().unwrap();
            self.forward(&first, &headers, &body)?
        };
        if path.starts_with("/folder") && method == "GET" {
            self.fetched.fetch_add(reply.len(), Ordering::SeqCst);
        }
        match action {
            Some(Action::Lost) => Ok(()),
            Some(Action::Stall(_, time)) => {
                thread::sleep(time);
                Ok(())
            }
            _ => (&*client).write_all(&reply),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one request taken apart")]
    fn upload(
        &self,
        client: &TcpStream,
        reader: &mut BufReader<&TcpStream>,
        first: &str,
        method: &str,
        path: &str,
        headers: &[String],
        length: usize,
    ) -> std::io::Result<()> {
        let action = self.take(path);
        let take = match action {
            Some(Action::Cut(at) | Action::Status(_, at) | Action::Stall(at, _)) => at.min(length),
            _ => length,
        };
        let mut body = vec![0; take];
        let whole = reader.read_exact(&mut body).is_ok() && take == length;
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let file = self.dir.join(format!("upload-{number:05}"));
        std::fs::write(&file, &body)?;
        let sha256 = Sha256::digest(&body).iter().map(|b| format!("{b:02x}")).collect();
        let path_only = path.split('?').next().unwrap_or_default().to_owned();
        let kept = whole && !matches!(action, Some(Action::Status(..)));
        self.uploads.lock().unwrap().push(Upload { path: path_only, whole: kept, sha256, file });
        match action {
            Some(Action::Status(status, _)) => return answer(client, status, ""),
            Some(Action::Stall(_, time)) => {
                thread::sleep(time);
                return Ok(());
            }
            _ => {}
        }
        let reply = self.forward(first, headers, &body)?;
        // The simulator registers a machine only where it finds these two beside its .vmx.
        if method == "PUT"
            && let Some((stem, query)) = path.split_once(".vmx?")
            && let Some((folder, _)) = stem.rsplit_once('/')
        {
            for beside in [format!("{stem}.nvram"), format!("{folder}/vmware.log")] {
                self.forward(&format!("PUT {beside}?{query} HTTP/1.1\r\n"), headers, b"x")?;
            }
        }
        match action {
            Some(Action::Cut(_) | Action::Lost) => Ok(()),
            _ => (&*client).write_all(&reply),
        }
    }

    fn take(&self, name: &str) -> Option<Action> {
        let mut rules = self.rules.lock().unwrap();
        let at = rules.iter().position(|rule| name.contains(&rule.of))?;
        Some(rules.remove(at).action)
    }

    fn forward(&self, first: &str, headers: &[String], body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut up = TcpStream::connect(&self.upstream)?;
        let mut head = first.to_owned();
        for line in headers {
            let key = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !matches!(key.as_str(), "connection" | "content-length" | "host") {
                head.push_str(line);
            }
        }
        head.push_str(&format!(
            "Host: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.upstream,
            body.len()
        ));
        up.write_all(head.as_bytes())?;
        up.write_all(body)?;
        let mut reply = Vec::new();
        up.read_to_end(&mut reply)?;
        Ok(reply)
    }
}

fn answer(mut client: &TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    write!(
        client,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
