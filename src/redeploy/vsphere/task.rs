//! Waiting for what the server does on its own time.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    error::{Error, Fault},
    server::Server,
    xml::{MoRef, Node},
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A task that shows no end for this long is given up; the server may still finish it.
const LONGEST_TASK: Duration = Duration::from_secs(3600);

impl Server {
    /// Waits for a task's end and gives its result.
    ///
    /// # Errors
    /// The task's own fault; [`Error::Stopped`] when `stop` is set, the task then goes on.
    pub fn wait(&self, what: &str, task: &MoRef, stop: &AtomicBool) -> Result<Option<Node>, Error> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let info = self.properties(task, &["info.state", "info.error", "info.result"])?;
            match info.text("info.state") {
                Some("success") => return Ok(info.get("info.result").cloned()),
                Some("error") => {
                    let fault = info.get("info.error").map_or_else(
                        || Fault {
                            method: what.to_owned(),
                            kind: "Fault".to_owned(),
                            message: "the task failed without a reason".to_owned(),
                            details: Vec::new(),
                        },
                        |error| Fault::from_localized(what, error),
                    );
                    return Err(Error::Fault(fault));
                }
                _ => {}
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            if started.elapsed() > LONGEST_TASK {
                let seconds = LONGEST_TASK.as_secs();
                return Err(Error::Stalled { what: what.to_owned(), seconds, sent_bytes: 0 });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
