//! The plan carried out: wave by wave, several machines at a time, every step in the journal.

mod lease;
mod network;
mod power;
mod settle;
mod undo;
mod upload;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    estate::{Estate, Host},
    journal::{Journal, JournalError, Phase, Record, Step},
    plan::{Machine, Plan, Route, SourceError},
    vsphere::{Error, MoRef, Pace, Server, Watch},
};

pub use undo::{Removal, removals, undo};

/// How hard to try.
#[derive(Debug)]
pub struct Options {
    /// Further tries of a machine whose line broke.
    pub retries: u32,
    /// Pause before the first of them; doubled each time.
    pub pause: Duration,
    /// An upload that moves nothing for so long is given up.
    pub stall: Duration,
    /// How fast.
    pub pace: Pace,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retries: 3,
            pause: Duration::from_secs(2),
            stall: Duration::from_secs(120),
            pace: Pace::default(),
        }
    }
}

/// Why a machine was not made.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The server, or the way to it.
    #[error(transparent)]
    Server(#[from] Error),
    /// The journal; nothing more may be done.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file of ours.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A rule: something that is not ours stands in the way.
    #[error("{0}")]
    Refused(String),
    /// What was sent or made is not what the plan says.
    #[error("{0}")]
    Unverified(String),
}

impl StepError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Server(error) if error.may_pass())
    }
}

/// How a machine ended.
#[derive(Debug)]
pub enum Fate {
    /// It was whole before.
    Already,
    /// It is whole now.
    Made,
    /// It is not.
    Failed(StepError),
    /// Not taken up: somebody asked for a stop.
    Waiting,
}

/// All that a run needs.
pub struct Run<'a> {
    /// The server.
    pub server: &'a Server,
    /// The plan.
    pub plan: &'a Plan,
    /// What the server has.
    pub estate: &'a Estate,
    /// The journal.
    pub journal: &'a Journal,
    /// How hard to try.
    pub options: &'a Options,
    /// Set by somebody who wants a stop.
    pub stop: &'a AtomicBool,
    /// Told of bytes that went out.
    pub moved: &'a (dyn Fn(u64) + Sync),
    /// Told of bytes that went out for nothing: they are sent again.
    pub lost: &'a (dyn Fn(u64) + Sync),
    /// Told what happens, a line at a time.
    pub say: &'a (dyn Fn(&str) + Sync),
}

struct Queue<'a> {
    waiting: Vec<&'a Machine>,
    busy: BTreeMap<&'a str, usize>,
}

impl<'a> Run<'a> {
    /// Makes what is not there yet. The plan was checked before.
    ///
    /// # Errors
    /// Only what stops everything: the journal, or a network that cannot be made.
    pub fn apply(&self) -> Result<BTreeMap<String, Fate>, StepError> {
        self.networks()?;
        let waves: BTreeSet<u32> = self.plan.machines.iter().map(|m| m.wave).collect();
        let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
        let mut complete = true;
        for wave in waves {
            let machines: Vec<&Machine> =
                self.plan.machines.iter().filter(|m| m.wave == wave).collect();
            fates.extend(self.wave(&machines));
            complete &= machines
                .iter()
                .all(|m| matches!(fates.get(&m.name), Some(Fate::Already | Fate::Made)));
            for machine in machines.iter().filter(|m| m.power_on) {
                if self.stop.load(Ordering::Relaxed) {
                    break;
                }
                if !complete {
                    let why = "an earlier machine is missing";
                    (self.say)(&format!("{}: not started, {why}", machine.name));
                    continue;
                }
                if let Err(error) = self.power_on(machine) {
                    complete = false;
                    fates.insert(machine.name.clone(), Fate::Failed(error));
                }
            }
        }
        Ok(fates)
    }

    fn wave(&self, machines: &[&'a Machine]) -> BTreeMap<String, Fate> {
        let limits = &self.plan.limits;
        let queue = Mutex::new(Queue {
            waiting: machines.iter().rev().copied().collect(),
            busy: BTreeMap::new(),
        });
        let changed = Condvar::new();
        let fates = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for _ in 0..limits.machines.min(machines.len()).min(32) {
                scope.spawn(|| {
                    while let Some(machine) = next(&queue, &changed, limits.machines_per_host) {
                        let fate = if self.stop.load(Ordering::Relaxed) {
                            Fate::Waiting
                        } else {
                            self.patiently(machine)
                        };
                        if let Fate::Failed(error) = &fate {
                            (self.say)(&format!("{}: {error}", machine.name));
                        }
                        if let Ok(mut fates) = fates.lock() {
                            fates.insert(machine.name.clone(), fate);
                        }
                        if let Ok(mut held) = queue.lock()
                            && let Some(count) = held.busy.get_mut(machine.host.as_str())
                        {
                            *count = count.saturating_sub(1);
                        }
                        changed.notify_all();
                    }
                });
            }
        });
        fates.into_inner().unwrap_or_default()
    }

    /// Tries again what may pass; each try looks first how far the last one came.
    fn patiently(&self, machine: &Machine) -> Fate {
        let mut pause = self.options.pause;
        let mut left = self.options.retries;
        let sent = AtomicU64::new(0);
        let moved = |bytes| {
            sent.fetch_add(bytes, Ordering::Relaxed);
            (self.moved)(bytes);
        };
        let run = Run { moved: &moved, ..*self };
        loop {
            match run.machine(machine) {
                Ok(fate) => return fate,
                Err(error)
                    if error.may_pass() && left > 0 && !self.stop.load(Ordering::Relaxed) =>
                {
                    (self.say)(&format!("{}: {error}; trying again", machine.name));
                    (self.lost)(sent.swap(0, Ordering::Relaxed));
                    left -= 1;
                    thread::sleep(pause);
                    pause *= 2;
                }
                Err(error) => return Fate::Failed(error),
            }
        }
    }

    fn machine(&self, machine: &Machine) -> Result<Fate, StepError> {
        let record = self.record(machine);
        if record.whole.is_some() {
            return Ok(Fate::Already);
        }
        let token = match record.token {
            Some(token) => token,
            None => {
                let token = uuid_token();
                let step = Step::Machine { digest: machine.digest(), token: token.clone() };
                self.journal.note(Some(&machine.name), Phase::Begin, &step, None)?;
                token
            }
        };
        let host = self.host(machine)?;
        let made = match machine.route {
            Route::Import => self.import(machine, host, &token),
            Route::Register | Route::Create => self.uploaded(machine, host, &token),
        };
        let mo = match made {
            Ok(mo) => mo,
            Err(error) => {
                let step = Step::Machine { digest: machine.digest(), token };
                // The journal's own failure is in the error already.
                let said = Some(error.to_string());
                if !matches!(error, StepError::Journal(_)) {
                    self.journal.note(Some(&machine.name), Phase::Failed, &step, said)?;
                }
                return Err(error);
            }
        };
        self.journal.note(Some(&machine.name), Phase::Done, &Step::Whole { mo }, None)?;
        (self.say)(&format!("{}: whole", machine.name));
        Ok(Fate::Made)
    }

    fn record(&self, machine: &Machine) -> Record {
        self.journal.told().machines.get(&machine.name).cloned().unwrap_or_default()
    }

    fn host(&self, machine: &Machine) -> Result<&'a Host, StepError> {
        self.estate
            .host(&machine.host)
            .ok_or_else(|| StepError::Refused(format!("there is no host {:?}", machine.host)))
    }

    /// The folder of the inventory, and the datacenter's path for file addresses.
    fn place(&self, host: &Host) -> Result<(&'a MoRef, &'a str), StepError> {
        self.estate
            .datacenters
            .get(&host.datacenter)
            .map(|datacenter| (&datacenter.vm_folder, datacenter.path.as_str()))
            .ok_or_else(|| StepError::Refused(format!("{} has no datacenter", host.name)))
    }

    fn watch(&self) -> Watch<'_> {
        Watch {
            moved: self.moved,
            pace: &self.options.pace,
            stop: self.stop,
            stall: self.options.stall,
        }
    }
}

/// The next machine whose host is free enough; `None` when all are taken.
fn next<'a>(queue: &Mutex<Queue<'a>>, changed: &Condvar, per_host: usize) -> Option<&'a Machine> {
    let mut held = queue.lock().ok()?;
    loop {
        if held.waiting.is_empty() {
            return None;
        }
        let free = |m: &&Machine| held.busy.get(m.host.as_str()).copied().unwrap_or(0) < per_host;
        match held.waiting.iter().rposition(free) {
            Some(at) => {
                let machine = held.waiting.remove(at);
                *held.busy.entry(machine.host.as_str()).or_default() += 1;
                return Some(machine);
            }
            None => held = changed.wait(held).ok()?,
        }
    }
}

fn uuid_token() -> String {
    // Only has to differ from every other run's: time and the address of a fresh value do.
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    hash.update(jiff::Timestamp::now().as_nanosecond().to_le_bytes());
    hash.update(std::process::id().to_le_bytes());
    hash.update(format!("{:?}", thread::current().id()));
    let random = std::collections::hash_map::RandomState::new();
    hash.update(std::hash::BuildHasher::hash_one(&random, 0_u8).to_le_bytes());
    hex::encode(hash.finalize().get(..16).unwrap_or_default())
}
