//! Threads of a pass that work at something else for a while.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So long a thread waits before it looks whether the pass still goes on.
const LOOK: Duration = Duration::from_millis(5);

/// How many threads of a pass others work with: the pass and they together take no more than it
/// was given. All clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Aside(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    threads: Mutex<usize>,
    changed: Condvar,
}

impl Counted {
    fn threads(&self) -> MutexGuard<'_, usize> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Aside {
    /// Takes one thread, until what is returned goes out of scope.
    #[must_use]
    pub fn one(&self) -> impl Drop + '_ {
        *self.0.threads() += 1;
        One(&self.0)
    }

    /// Waits while the thread with this number, of `jobs` counted from zero, works aside; the first
    /// never does, and none once `is_over`.
    pub(super) fn wait(&self, number: usize, jobs: usize, is_over: impl Fn() -> bool) {
        let mut aside = self.0.threads();
        while number > 0 && number + *aside >= jobs && !is_over() {
            let waited = self.0.changed.wait_timeout(aside, LOOK);
            aside = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

struct One<'a>(&'a Counted);

impl Drop for One<'_> {
    fn drop(&mut self) {
        let mut aside = self.0.threads();
        *aside = aside.saturating_sub(1);
        self.0.changed.notify_all();
    }
}
