//! The damage map of one disk: one pass over its bytes, its footer, and the judgement of both.

mod chain;
mod disk;
mod facts;
mod one;

pub use chain::{Doubt, doubt, flat_length, map_chain, named_after};
pub use disk::{DiskMap, DiskRun, FileMap};
pub use facts::facts;
pub use one::map_file;

use std::{io, thread};

use crossbeam_channel::bounded;

use crate::{
    families::Families,
    source::Source,
    triage::{
        footer::{FooterQuestion, FooterReading, read_footer},
        judge::{DamageMap, JudgeOptions, Survey, judge_after},
        pass::{
            Cancel, PassError, PassOptions, PassOutcome, PassState, Stretch, run_pass,
            run_resumable,
        },
        structure::{Early, Walks},
    },
};

/// Places where long files may begin that wait to be looked at beside the pass.
const MOST_WAITING: usize = 16_384;

/// What a map is asked for.
#[derive(Clone, Debug, Default)]
pub struct MapOptions {
    /// The file's name, for findings.
    pub name: String,
    /// The pass.
    pub pass: PassOptions,
    /// The judgement.
    pub judge: JudgeOptions,
    /// What is known of the disk's end.
    pub footer: FooterQuestion,
    /// Whether it is a whole disk, not any file.
    pub is_disk: bool,
    /// What else says that a locker was at work in it, where something does.
    pub attacked: Option<String>,
}

/// A mapped disk.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// Every byte, judged; of what the pass covered where it was stopped.
    pub map: DamageMap,
    /// How the pass ended, with its hashes.
    pub pass: PassOutcome,
    /// What the end of the disk says; `None` where it could not be read.
    pub footer: Option<FooterReading>,
}

/// Reads all of `source` once and judges it. `told` hears of each stretch's length as it is
/// done, for progress.
///
/// # Errors
/// [`PassError`] when the state cannot be kept. A source that fails becomes unreadable runs.
pub fn map_source(
    source: &dyn Source,
    options: &MapOptions,
    families: &Families,
    state: Option<&mut PassState>,
    cancel: &Cancel,
    told: &mut dyn FnMut(u64),
) -> Result<Mapped, PassError> {
    let footer = read_footer(source, &options.footer, families).ok();
    let mut facts = facts(footer.as_ref(), &options.footer, families, source.len_bytes());
    facts.path.clone_from(&options.name);
    facts.is_disk = options.is_disk;
    facts.attacked = facts.attacked.or_else(|| options.attacked.clone());
    let jobs = options.pass.jobs.get();
    let original = facts.original_bytes.unwrap_or(u64::MAX).min(source.len_bytes());
    let walks = Walks::new(source, original, options.judge.no_unpack);
    let early = Early::new(source, original, &walks);
    let (give, take) = bounded(MOST_WAITING);
    thread::scope(|scope| {
        let _over = early.over_at_end();
        // Long files are followed beside the pass.
        if jobs > 1 && !options.judge.no_unpack {
            let (early, take, aside) = (&early, take, &options.pass.aside);
            scope.spawn(move || early.run(take, aside));
        }
        let give = give;
        let mut survey = Survey::new();
        let mut sink = |stretch: &Stretch| -> io::Result<()> {
            survey.take(stretch);
            for start in survey.take_long_runs() {
                // Where too many wait, the judgement finds them by itself.
                let _room = give.try_send(start);
            }
            told(stretch.length_bytes());
            Ok(())
        };
        let pass = match state {
            Some(state) => run_resumable(source, &options.pass, state, &mut sink, cancel)?,
            None => run_pass(source, &options.pass, &mut sink, cancel)?,
        };
        survey.finish();
        early.close();
        drop(give);
        // Looking closer takes as many threads as the pass.
        let threads = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
        let judged = || judge_after(source, survey, &facts, options.judge, &walks);
        let map = match threads {
            Ok(threads) => threads.install(judged),
            Err(_) => judged(),
        };
        Ok(Mapped { map, pass, footer })
    })
}
