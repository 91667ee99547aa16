//! HTTP/1.1 to one server: small requests, and uploads whose length, pace and hash are known.
//!
//! The runtime lives inside; callers are plain threads that wait.

use std::{
    io::Read,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use reqwest::{
    Body, Client, Method, RequestBuilder, Response,
    header::{
        CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue,
        RANGE, SET_COOKIE,
    },
    redirect::Policy,
};
use sha2::{Digest as _, Sha256};
use tokio::{runtime::Runtime, sync::mpsc, time};

use super::{
    buffers::Buffers,
    error::Error,
    tls::{Gate, Trust},
};
use crate::finding::said_once;

/// Bytes read, hashed and sent at a time: few enough to stay in a processor's cache between the
/// three.
const CHUNK: usize = 256 << 10;
/// Chunks read ahead of the line.
const AHEAD: usize = 8;
/// Most bytes taken of an answer to a call.
const MAX_REPLY: usize = 256 << 20;
/// Most bytes shown of an answer that is an error.
const MAX_SHOWN: usize = 300;

/// An answer, whole.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// `name=value` of the session cookie, if one was set.
    pub(super) cookie: Option<String>,
    pub(super) length: Option<u64>,
}

/// How fast all uploads together may be.
#[derive(Debug, Default)]
pub struct Pace {
    bytes_per_second: Option<u64>,
    taken: AtomicU64,
    started: std::sync::OnceLock<Instant>,
}

impl Pace {
    /// At most this many bytes a second, all uploads together; `None`: no limit.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second: bytes_per_second.filter(|n| *n > 0), ..Self::default() }
    }

    fn wait_for(&self, bytes: u64, stop: &AtomicBool) {
        let Some(limit) = self.bytes_per_second else { return };
        let started = *self.started.get_or_init(Instant::now);
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let due = Duration::from_secs_f64(before as f64 / limit as f64);
        while let Some(rest) = due.checked_sub(started.elapsed()) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(rest.min(Duration::from_millis(200)));
        }
    }
}

/// What an upload sends and how.
pub(super) struct Upload<'a> {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) content_type: &'static str,
    pub(super) source: Box<dyn Read + Send + 'a>,
    pub(super) length: u64,
    /// Told of each chunk as it goes out.
    pub(super) moved: &'a (dyn Fn(u64) + Sync),
    pub(super) pace: &'a Pace,
    pub(super) stop: &'a AtomicBool,
    /// Gives up when nothing moves for this long.
    pub(super) stall: Duration,
    /// Gives up when no answer comes for this long after the last byte.
    pub(super) answer: Duration,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes of the body.
    pub bytes: u64,
    /// Their SHA-256 in hexadecimal.
    pub sha256: String,
}

#[derive(Debug)]
pub(super) struct Http {
    runtime: Runtime,
    client: Client,
    gate: Option<Arc<Gate>>,
    pub(super) host: String,
}

impl Http {
    pub(super) fn new(host: &str, tls: bool, trust: Trust) -> Result<Self, Error> {
        let what = "preparing the connection";
        let fail = |detail: String| Error::Unexpected { what: what.to_owned(), detail };
        // One worker is a fifth of four uploads' work. Where a second one finds no memory, building
        // the runtime never ends.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| fail(error.to_string()))?;
        let gate = if tls { Some(Gate::new(host, trust).map_err(fail)?) } else { None };
        let mut builder = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(20))
            .tcp_nodelay(true)
            .user_agent(concat!("vmglean/", env!("CARGO_PKG_VERSION")));
        builder = match &gate {
            Some(gate) => builder.tls_backend_preconfigured(gate.config().map_err(fail)?),
            // Never used, but a client without any provider does not build.
            None => builder.tls_backend_preconfigured(
                Gate::new(host, Trust::Nothing).and_then(|gate| gate.config()).map_err(fail)?,
            ),
        };
        let client = builder.build().map_err(|error| fail(said_once(&error)))?;
        Ok(Self { runtime, client, gate, host: host.to_owned() })
    }

    pub(super) fn gate(&self) -> Option<&Gate> {
        self.gate.as_deref()
    }

    /// A small request, answered whole.
    pub(super) fn ask(
        &self,
        what: &str,
        method: Method,
        url: &str,
        headers: &[(HeaderName, String)],
        body: Option<String>,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let mut request = with(self.client.request(method, url), headers);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "text/xml; charset=utf-8").body(body);
        }
        self.runtime.block_on(async {
            let whole = async {
                let response = request.send().await.map_err(|e| self.line(what, url, &e, 0))?;
                self.read(what, url, response).await
            };
            time::timeout(limit, whole).await.unwrap_or_else(|_| {
                let seconds = limit.as_secs();
                Err(Error::Stalled { what: what.to_owned(), seconds, sent_bytes: 0 })
            })
        })
    }

    async fn read(&self, what: &str, url: &str, mut response: Response) -> Result<Answer, Error> {
        let status = response.status().as_u16();
        let cookie = session_cookie(response.headers());
        let length = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.line(what, url, &e, 0))? {
            if body.len().saturating_add(chunk.len()) > MAX_REPLY {
                let detail = "the answer is longer than any real one".to_owned();
                return Err(Error::Unexpected { what: what.to_owned(), detail });
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status, body, cookie, length })
    }

    /// Exactly the bytes of `range` of a file; `Err` of [`Error::Http`] where the server refuses.
    pub(super) fn fetch(
        &self,
        what: &str,
        url: &str,
        headers: &[(HeaderName, String)],
        range: &Range<u64>,
        limit: Duration,
    ) -> Result<Vec<u8>, Error> {
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let last = range.end.saturating_sub(1);
        let request = with(self.client.request(Method::GET, url), headers)
            .header(RANGE, format!("bytes={}-{last}", range.start));
        let odd = |detail: &str| Error::Unexpected { what: what.to_owned(), detail: detail.into() };
        let whole = async {
            let mut response = request.send().await.map_err(|e| self.line(what, url, &e, 0))?;
            let status = response.status().as_u16();
            if !matches!(status, 200 | 206) {
                return Err(refused(what, &self.read(what, url, response).await?));
            }
            let told = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let part = format!("bytes {}-{last}/", range.start);
            if status == 206 && !told.is_some_and(|told| told.starts_with(&part)) {
                return Err(odd("another part than the one asked for"));
            }
            // The whole file is as good where all of it was asked for.
            if status == 200 && (range.start != 0 || response.content_length() != Some(range.end)) {
                return Err(odd("the server cannot send a part of a file"));
            }
            let mut bytes = Vec::new();
            while let Some(more) =
                response.chunk().await.map_err(|e| self.line(what, url, &e, 0))?
            {
                bytes.extend_from_slice(&more);
                if bytes.len() > wanted {
                    return Err(odd("more bytes than were asked for"));
                }
            }
            if bytes.len() < wanted {
                Err(odd("fewer bytes than were asked for"))
            } else {
                Ok(bytes)
            }
        };
        self.runtime.block_on(async {
            time::timeout(limit, whole).await.unwrap_or_else(|_| {
                let seconds = limit.as_secs();
                Err(Error::Stalled { what: what.to_owned(), seconds, sent_bytes: 0 })
            })
        })
    }

    /// Sends a body of known length; the answer's status must be one of success.
    pub(super) fn upload(&self, what: &str, upload: Upload<'_>) -> Result<Sent, Error> {
        let (chunks, line) = mpsc::channel::<Result<Bytes, std::io::Error>>(AHEAD);
        let out = Arc::new(AtomicU64::new(0));
        let Upload { method, url, headers, content_type, mut source, length, .. } = upload;
        let (moved, pace, stop) = (upload.moved, upload.pace, upload.stop);
        let counted = Arc::clone(&out);
        let body = stream::unfold(line, move |mut line| {
            let counted = Arc::clone(&counted);
            async move {
                let chunk = line.recv().await?;
                if let Ok(chunk) = &chunk {
                    let len = u64::try_from(chunk.len()).unwrap_or_default();
                    counted.fetch_add(len, Ordering::Relaxed);
                }
                Some((chunk, line))
            }
        });
        let request = with(self.client.request(method, &url), &headers)
            .header(CONTENT_TYPE, content_type)
            .header(CONTENT_LENGTH, length)
            .body(Body::wrap_stream(body));
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let done = feed(&mut *source, length, &chunks, moved, pace, stop);
                if let Err(error) = &done {
                    // The request must not look whole when its source failed.
                    let told = std::io::Error::other(error.to_string());
                    let _ = chunks.blocking_send(Err(told));
                }
                done
            });
            let answer = self.runtime.block_on(async {
                let send = request.send();
                tokio::pin!(send);
                let mut last = (0, Instant::now());
                let response = loop {
                    match time::timeout(Duration::from_millis(250), &mut send).await {
                        Ok(done) => {
                            let sent = out.load(Ordering::Relaxed);
                            break done.map_err(|e| self.line(what, &url, &e, sent))?;
                        }
                        Err(_) => {
                            let sent = out.load(Ordering::Relaxed);
                            if sent != last.0 {
                                last = (sent, Instant::now());
                            }
                            let limit = if sent >= length { upload.answer } else { upload.stall };
                            if stop.load(Ordering::Relaxed) {
                                return Err(Error::Stopped);
                            }
                            if last.1.elapsed() >= limit {
                                let (what, seconds) = (what.to_owned(), limit.as_secs());
                                return Err(Error::Stalled { what, seconds, sent_bytes: sent });
                            }
                        }
                    }
                };
                let read = self.read(what, &url, response);
                time::timeout(upload.answer, read).await.unwrap_or_else(|_| {
                    let sent_bytes = out.load(Ordering::Relaxed);
                    let seconds = upload.answer.as_secs();
                    Err(Error::Stalled { what: what.to_owned(), seconds, sent_bytes })
                })
            });
            let fed = reader.join().unwrap_or(Err(FeedError::Gone));
            match (answer, fed) {
                (Ok(answer), Ok(sent)) if (200..300).contains(&answer.status) => Ok(sent),
                (Ok(answer), _) if !(200..300).contains(&answer.status) => {
                    Err(refused(what, &answer))
                }
                (_, Err(FeedError::Stopped)) => Err(Error::Stopped),
                (_, Err(FeedError::Source(detail))) => {
                    Err(Error::Unexpected { what: what.to_owned(), detail })
                }
                (Err(error), _) => Err(error),
                (Ok(_), Err(FeedError::Gone)) => Err(Error::Unexpected {
                    what: what.to_owned(),
                    detail: "the server said it was done before it had everything".to_owned(),
                }),
                (Ok(answer), Ok(_)) => Err(refused(what, &answer)),
            }
        })
    }

    /// What a failed request means: a certificate that was refused is told apart from a lost line.
    fn line(&self, what: &str, url: &str, error: &reqwest::Error, sent_bytes: u64) -> Error {
        let detail = said_once(error);
        let host = reqwest::Url::parse(url)
            .ok()
            .and_then(|url| url.host_str().map(|h| h.trim_matches(['[', ']']).to_owned()))
            .unwrap_or_default();
        if detail.contains("certificate")
            && let Some(gate) = &self.gate
            && let Some(shown) = gate.seen(&host)
            && gate.pin() != Some(shown)
        {
            let expected = gate.pin();
            return if expected.is_some() || host != self.host {
                Error::WrongCertificate { host, shown, expected }
            } else {
                Error::UnknownCertificate { host, shown }
            };
        }
        let detail = match reqwest::Url::parse(url) {
            Ok(url) if error.is_connect() && !detail.contains("certificate") => {
                let port = url.port_or_known_default().unwrap_or_default();
                format!("cannot reach {host}:{port}: {}", root(error))
            }
            _ => detail,
        };
        Error::Line { what: what.to_owned(), detail, sent_bytes }
    }
}

enum FeedError {
    Stopped,
    /// The line was given up by the other side.
    Gone,
    Source(String),
}

impl std::fmt::Display for FeedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Gone => f.write_str("the line is gone"),
            Self::Source(detail) => f.write_str(detail),
        }
    }
}

fn feed(
    source: &mut dyn Read,
    length: u64,
    chunks: &mpsc::Sender<Result<Bytes, std::io::Error>>,
    moved: &(dyn Fn(u64) + Sync),
    pace: &Pace,
    stop: &AtomicBool,
) -> Result<Sent, FeedError> {
    let mut hash = Sha256::new();
    let buffers = Buffers::of(CHUNK);
    let mut left = length;
    while left > 0 {
        if stop.load(Ordering::Relaxed) {
            return Err(FeedError::Stopped);
        }
        let take = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = buffers.take();
        let part = chunk.get_mut(..take).ok_or(FeedError::Gone)?;
        source
            .read_exact(part)
            .map_err(|error| FeedError::Source(format!("{left} bytes before its end: {error}")))?;
        hash.update(part);
        let bytes = u64::try_from(take).unwrap_or_default();
        pace.wait_for(bytes, stop);
        if chunks.blocking_send(Ok(buffers.lend(chunk, take))).is_err() {
            return Err(FeedError::Gone);
        }
        moved(bytes);
        left = left.saturating_sub(bytes);
    }
    let digest = hash.finalize();
    Ok(Sent { bytes: length, sha256: hex::encode(digest) })
}

pub(super) fn refused(what: &str, answer: &Answer) -> Error {
    let body: String = answer.body.split_whitespace().collect::<Vec<_>>().join(" ");
    let body = body.chars().take(MAX_SHOWN).collect();
    Error::Http { what: what.to_owned(), status: answer.status, body }
}

fn with(request: RequestBuilder, headers: &[(HeaderName, String)]) -> RequestBuilder {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let Ok(mut text) = HeaderValue::from_str(value) {
            // Never shown by anything that prints a request.
            text.set_sensitive(*name == COOKIE);
            map.append(name.clone(), text);
        }
    }
    request.headers(map)
}

fn session_cookie(headers: &HeaderMap) -> Option<String> {
    headers.get_all(SET_COOKIE).iter().find_map(|value| {
        let pair = value.to_str().ok()?.split(';').next()?.trim();
        pair.starts_with("vmware_soap_session=").then(|| pair.to_owned())
    })
}

/// The cause of all causes.
fn root(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
