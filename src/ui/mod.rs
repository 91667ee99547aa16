//! The only code that prints.
//!
//! Data goes to standard output, all else to standard error. Progress, warnings and data share
//! one [`Ui`], so that none tears another.

mod output;
mod progress;

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex},
};

pub use anstream::ColorChoice;
use indicatif::{MultiProgress, ProgressDrawTarget};

pub use output::{Output, ends_quietly};
pub use progress::Progress;

/// Whether and how progress is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar where standard error is a terminal.
    #[default]
    Auto,
    /// One JSON object a line on standard error.
    Json,
    /// Nothing.
    Off,
}

/// What the global flags say about printing.
#[derive(Clone, Copy, Debug, Default)]
pub struct UiOptions {
    /// `--color`.
    pub color: ColorChoice,
    /// `--progress`.
    pub progress: ProgressMode,
    /// `--quiet`: errors only, no progress bar.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u8,
}

impl From<&crate::cli::Global> for UiOptions {
    fn from(global: &crate::cli::Global) -> Self {
        use crate::cli;
        Self {
            color: match global.color {
                cli::When::Auto => ColorChoice::Auto,
                cli::When::Always => ColorChoice::Always,
                cli::When::Never => ColorChoice::Never,
            },
            progress: match global.progress {
                cli::Progress::Auto => ProgressMode::Auto,
                cli::Progress::Json => ProgressMode::Json,
                cli::Progress::None => ProgressMode::Off,
            },
            quiet: global.quiet,
            verbose: global.verbose,
        }
    }
}

/// One voice for the whole process. Clones speak with the same voice.
#[derive(Clone, Debug)]
pub struct Ui {
    options: UiOptions,
    bars: MultiProgress,
    // Lines written past the bars, and JSON progress, must not mix.
    line: Arc<Mutex<()>>,
}

impl Ui {
    /// A voice as the flags want it.
    #[must_use]
    pub fn new(options: UiOptions) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let bar = options.progress == ProgressMode::Auto
            && !options.quiet
            && !dumb
            && io::stderr().is_terminal();
        let target =
            if bar { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() };
        Self { options, bars: MultiProgress::with_draw_target(target), line: Arc::default() }
    }

    /// Something worth telling; silent with `--quiet`.
    pub fn message(&self, text: impl Display) {
        if !self.options.quiet {
            self.say(&format!("{text}"));
        }
    }

    /// Something that may change what the user does next; silent with `--quiet`.
    pub fn warn(&self, text: impl Display) {
        if !self.options.quiet {
            self.say(&format!("{}: {text}", painted(anstyle::AnsiColor::Yellow, "warning")));
        }
    }

    /// Why the run failed; always told.
    pub fn error(&self, text: impl Display) {
        self.say(&error_line(text));
    }

    /// A detail for `-v` (level 1) or `-vv` (level 2).
    pub fn detail(&self, level: u8, text: impl Display) {
        if self.options.verbose >= level && !self.options.quiet {
            self.say(&format!("{text}"));
        }
    }

    /// Starts to tell progress of `what` over `total_bytes`, where known.
    #[must_use]
    pub fn progress(&self, what: &str, total_bytes: Option<u64>) -> Progress {
        let json = self.options.progress == ProgressMode::Json;
        Progress::new(&self.bars, json.then(|| Arc::clone(&self.line)), what, total_bytes)
    }

    /// Standard output for data, with colour where it is wanted and shown.
    #[must_use]
    pub fn stdout(&self) -> Output {
        Output::stdout(self.options.color, self.bars.clone())
    }

    /// Standard output for data that is not meant for eyes: every byte as it is written.
    #[must_use]
    pub fn data(&self) -> Output {
        Output::stdout(ColorChoice::AlwaysAnsi, self.bars.clone())
    }

    /// Columns of the terminal that standard output is, 100 where it is none.
    #[must_use]
    pub fn columns(&self) -> usize {
        if let Some(columns) = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()) {
            return columns;
        }
        terminal_size::terminal_size_of(io::stdout()).map_or(100, |(width, _)| width.0.into())
    }

    /// Whether standard output is a terminal.
    #[must_use]
    pub fn stdout_is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    fn say(&self, line: &str) {
        let _held = self.line.lock();
        self.bars.suspend(|| {
            let mut stderr = anstream::AutoStream::new(io::stderr(), self.options.color);
            // Standard error gone: there is nobody left to tell.
            let _ = writeln!(stderr, "{line}");
        });
    }
}

/// Prints an error where there is no [`Ui`] (yet, or any more).
pub fn error(text: &str) {
    // Standard error gone: there is nobody left to tell.
    let _ = writeln!(anstream::stderr(), "{}", error_line(text));
}

fn error_line(text: impl Display) -> String {
    format!("{}: {text}", painted(anstyle::AnsiColor::Red, "vmglean"))
}

fn painted(color: anstyle::AnsiColor, word: &str) -> String {
    let style = anstyle::Style::new().bold().fg_color(Some(color.into()));
    format!("{style}{word}{style:#}")
}
