//! How far a run is: a bar for people, JSON lines for scripts.

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

/// Counts bytes done. Clones count into the same sum, from any thread; counting is cheap.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    json: Option<Arc<Json>>,
}

/// What a script reads: one line a second at most, first and last always.
#[derive(Debug, Serialize)]
struct Line<'a> {
    done_bytes: u64,
    total_bytes: Option<u64>,
    rate_bytes_per_s: Option<u64>,
    eta_s: Option<u64>,
    what: &'a str,
}

#[derive(Debug)]
struct Json {
    line: Arc<Mutex<()>>,
    what: Mutex<String>,
    done: AtomicU64,
    // u64::MAX: unknown.
    total: AtomicU64,
    started: Instant,
    told_ms: AtomicU64,
}

const TELL_EVERY_MS: u64 = 1000;

impl Progress {
    pub(super) fn new(
        bars: &MultiProgress,
        json: Option<Arc<Mutex<()>>>,
        what: &str,
        total_bytes: Option<u64>,
    ) -> Self {
        let bar = bars.add(ProgressBar::no_length());
        bar.set_style(style(total_bytes.is_some()));
        if let Some(total) = total_bytes {
            bar.set_length(total);
        }
        bar.set_message(crate::report::plain::plain(what).into_owned());
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        let json = json.map(|line| {
            Arc::new(Json {
                line,
                what: Mutex::new(what.to_owned()),
                done: AtomicU64::new(0),
                total: AtomicU64::new(total_bytes.unwrap_or(u64::MAX)),
                started: Instant::now(),
                told_ms: AtomicU64::new(0),
            })
        });
        let progress = Self { bar, json };
        if let Some(json) = &progress.json {
            json.tell();
        }
        progress
    }

    /// Progress that nobody sees, for tests and library callers.
    #[must_use]
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), json: None }
    }

    /// Counts `bytes` more as done.
    pub fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
        if let Some(json) = &self.json {
            json.done.fetch_add(bytes, Ordering::Relaxed);
            json.tell_if_due();
        }
    }

    /// Counts `bytes` as not done after all: they come again.
    pub fn take_back(&self, bytes: u64) {
        self.bar.dec(bytes);
        if let Some(json) = &self.json {
            json.done.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Sets what is to be done in all, once it is known or better known.
    pub fn set_total(&self, bytes: u64) {
        self.bar.set_length(bytes);
        self.bar.set_style(style(true));
        if let Some(json) = &self.json {
            json.total.store(bytes, Ordering::Relaxed);
        }
    }

    /// Names what is being worked on now.
    pub fn set_what(&self, what: &str) {
        self.bar.set_message(crate::report::plain::plain(what).into_owned());
        if let Some(json) = &self.json {
            if let Ok(mut now) = json.what.lock() {
                what.clone_into(&mut now);
            }
            json.tell_if_due();
        }
    }

    /// Ends the telling; the bar goes away, a last JSON line stays.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        if let Some(json) = &self.json {
            json.tell();
        }
    }
}

impl Json {
    fn tell_if_due(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told = self.told_ms.load(Ordering::Relaxed);
        let due = now.saturating_sub(told) >= TELL_EVERY_MS;
        // Whoever wins the exchange tells; the others go on working.
        if due
            && self
                .told_ms
                .compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.tell();
        }
    }

    fn tell(&self) {
        let Ok(what) = self.what.lock() else { return };
        let total = Some(self.total.load(Ordering::Relaxed)).filter(|t| *t != u64::MAX);
        let line = line(&what, self.done.load(Ordering::Relaxed), total, self.started.elapsed());
        if let Ok(text) = serde_json::to_string(&line) {
            let _held = self.line.lock();
            // Standard error gone: there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

fn line(what: &str, done_bytes: u64, total_bytes: Option<u64>, elapsed: Duration) -> Line<'_> {
    let seconds = elapsed.as_secs_f64();
    // A rate over less than a tenth of a second says nothing.
    let rate = (seconds >= 0.1).then(|| done_bytes as f64 / seconds);
    let rest = total_bytes.map(|t| t.saturating_sub(done_bytes));
    let eta_s = rate.zip(rest).and_then(|(rate, rest)| {
        if rest == 0 { Some(0) } else { (rate >= 1.0).then(|| (rest as f64 / rate).ceil() as u64) }
    });
    Line { done_bytes, total_bytes, rate_bytes_per_s: rate.map(|r| r as u64), eta_s, what }
}

fn style(total_known: bool) -> ProgressStyle {
    let template = if total_known {
        "{bar:24} {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  rest {eta}  {wide_msg}"
    } else {
        "{spinner} {binary_bytes}  {binary_bytes_per_sec}  {wide_msg}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::line;

    #[test]
    fn a_progress_line_names_rate_and_rest() {
        let told = line("disks", 512, Some(2048), Duration::from_secs(2));
        assert_eq!(
            serde_json::to_string(&told).unwrap(),
            r#"{"done_bytes":512,"total_bytes":2048,"rate_bytes_per_s":256,"eta_s":6,"what":"disks"}"#
        );
    }

    #[test]
    fn what_is_not_known_is_null_and_never_guessed() {
        let told = line("walk", 0, None, Duration::ZERO);
        assert_eq!(
            serde_json::to_string(&told).unwrap(),
            r#"{"done_bytes":0,"total_bytes":null,"rate_bytes_per_s":null,"eta_s":null,"what":"walk"}"#
        );
        let stuck = line("walk", 0, Some(10), Duration::from_secs(5));
        assert_eq!(stuck.eta_s, None);
        let done = line("walk", 10, Some(10), Duration::from_secs(5));
        assert_eq!(done.eta_s, Some(0));
    }
}
