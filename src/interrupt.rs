//! A first SIGINT or SIGTERM asks for a clean stop, a second one ends the process at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// Whether somebody asked for a stop, and how.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Starts to listen.
    ///
    /// # Errors
    /// The system's error when a handler cannot be set.
    pub fn listen() -> io::Result<Self> {
        let this = Self::default();
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).unwrap_or_default();
            // Order matters: the second signal finds the flag set by the first.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&this.asked))?;
            flag::register_usize(signal, Arc::clone(&this.signal), number)?;
            flag::register(signal, Arc::clone(&this.asked))?;
        }
        Ok(this)
    }

    /// Whether to stop at the next safe place.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The shared flag, for code that only needs to look at it.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// 130 after SIGINT, 143 after SIGTERM, else `None`.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        let signal = u8::try_from(self.signal.load(Ordering::Relaxed)).ok()?;
        (self.asked() && signal != 0).then(|| 128_u8.saturating_add(signal))
    }
}
