//! `vmglean report`: a recorded sweep shown again, in another form.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{check_output, write_whole};
use crate::{
    outcome::Outcome,
    report::{csv, html, json, record::SweepRecord, text},
    ui::Ui,
};

/// Arguments of `report`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A record written by sweep with --json or --jsonl; - reads it from stdin
    #[arg(value_name = "CASE")]
    pub case: PathBuf,
    /// Form to write; without it what the name of FILE ends with, else text
    #[arg(short = 'O', long, value_enum, value_name = "FORM")]
    pub form: Option<Form>,
    /// Write to FILE instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// List every machine; without it, long groups are cut and counted
    #[arg(long)]
    pub all: bool,
    /// Replace FILE where it is there
    #[arg(long)]
    pub overwrite: bool,
}

/// Forms a record is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A table for people.
    Text,
    /// One self-contained page.
    Html,
    /// One row a disk, for spreadsheets.
    Csv,
    /// One document.
    Json,
    /// One object a line.
    Jsonl,
}

impl Form {
    fn of_name(output: &Path) -> Option<Self> {
        match output.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "html" | "htm" => Some(Self::Html),
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// Reads the record and writes it in the form asked for.
///
/// # Errors
/// When the record cannot be read or is cut, or the output cannot or must not be written.
pub fn run(args: &Args, ui: &Ui) -> anyhow::Result<Outcome> {
    let record = read(&args.case).with_context(|| format!("{}", args.case.display()))?;
    let by_name = args.output.as_deref().and_then(Form::of_name);
    let form = args.form.or(by_name).unwrap_or(Form::Text);
    let Some(output) = &args.output else {
        let columns = ui.columns();
        let mut out = if form == Form::Text { ui.stdout() } else { ui.data() };
        write(&mut out, &record, form, columns, args.all)?;
        return Ok(Outcome::Clean);
    };
    let sources: Vec<PathBuf> = record.sources.iter().map(|s| s.path.0.clone()).collect();
    check_output(output, &sources, args.overwrite)?;
    let mut content = Vec::new();
    write(&mut content, &record, form, 100, args.all)?;
    if form == Form::Text {
        content = anstream::adapter::strip_bytes(&content).into_vec();
    }
    write_whole(output, &content, args.overwrite)?;
    Ok(Outcome::Clean)
}

fn read(case: &Path) -> anyhow::Result<SweepRecord> {
    let from: Box<dyn BufRead> = if case == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(case)?))
    };
    Ok(json::read(from)?)
}

fn write(
    out: &mut dyn Write,
    record: &SweepRecord,
    form: Form,
    columns: usize,
    all: bool,
) -> io::Result<()> {
    match form {
        Form::Text => text::write_sweep(out, record, text::TextOptions { columns, all }),
        Form::Html => html::write_sweep(out, record, &html::Pictures::new()),
        Form::Csv => csv::write_sweep(out, record),
        Form::Json => json::write_document(out, record),
        Form::Jsonl => json::write_lines(out, record),
    }
}
