//! `vmglean files get`: files written out, with lists of what was written.

use std::{
    fs,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{Job, LISTS, outcome};
use crate::{
    finding::{Finding, Weight},
    guest::{
        EventLog, Ground, GuestFile, Stream, Verdict,
        get::{GetError, Writer, Written},
    },
    outcome::Outcome,
    report::files::{
        FileLine, FilesRecord, Manifest, ManifestLine, body_line, hashdeep_head, hashdeep_line,
        write_summary,
    },
    ui::Ui,
};

impl Job<'_> {
    /// Writes what is asked for below `out`, each file read back.
    pub(super) fn get(
        &self,
        out: &Path,
        partial: bool,
        record: &mut FilesRecord,
        ui: &Ui,
    ) -> anyhow::Result<Outcome> {
        fs::create_dir_all(out).with_context(|| out.display().to_string())?;
        let create = |name: &str| -> anyhow::Result<BufWriter<fs::File>> {
            let path = out.join(name);
            let file = fs::File::options().write(true).create_new(true).open(&path);
            Ok(BufWriter::new(file.with_context(|| format!("cannot make {}", path.display()))?))
        };
        let [manifest, hashes, body, summary] = LISTS;
        let mut manifest = Manifest::new(create(manifest)?);
        let (mut hashes, mut body) = (create(hashes)?, create(body)?);
        let mut summary_file = create(summary)?;
        hashes.write_all(hashdeep_head().as_bytes())?;
        let mut writer = Writer::new(out);
        let mut failed: Vec<Finding> = Vec::new();
        let mut written_files = 0_u64;
        let mut is_unverified = false;
        let FilesRecord { disk, summary, findings, .. } = &mut *record;
        let mut sink = |ground: &Ground<'_>,
                        file: GuestFile,
                        stream: Option<Stream>|
         -> io::Result<()> {
            findings.extend(summary.count(&file));
            let line = FileLine::from(&file);
            let by_verdict = if self.chosen.only.is_empty() {
                file.is_whole() || (partial && file.verdict == Verdict::Partial)
            } else {
                // A lost file has no bytes; one in part goes out with its holes named only.
                file.verdict != Verdict::Partial || partial
            };
            let is_asked = self.chosen.takes(&file, &line);
            let mut md5 = None;
            // What could not be written stands among the findings; the next file may do.
            let mut settled = |written: Result<Written, GetError>| match written {
                Ok(written) => {
                    written_files += 1;
                    Ok(Some(written))
                }
                Err(error @ GetError::Write { .. }) => Err(io::Error::other(error)),
                Err(error) => {
                    is_unverified |= matches!(error, GetError::Unverified(_));
                    failed.push(not_written(&line, &error));
                    Ok(None)
                }
            };
            match &stream {
                Some(stream) if is_asked && by_verdict => {
                    let written = settled(writer.file(ground, &file, stream))?;
                    if let Some(written) = &written {
                        manifest.write(&ManifestLine::new(disk, &file, written))?;
                        hashes.write_all(hashdeep_line(written).as_bytes())?;
                        write_holes(out, written, &line)?;
                    }
                    md5 = written.map(|written| written.md5);
                }
                None if is_asked && by_verdict && file.is_folder && !file.is_system => {
                    writer.folder(&file).map_err(io::Error::other)?;
                }
                _ => {}
            }
            let log = stream
                .as_ref()
                .filter(|_| is_asked)
                .and_then(|stream| EventLog::of(ground, &file, stream).map(|log| (log, stream)));
            if let Some((log, stream)) = log
                && let Some(written) = settled(writer.log(ground, &file, stream, &log))?
            {
                summary.rebuilt_logs += 1;
                manifest.write(&ManifestLine::rebuilt(disk, (&file, stream), &log, &written))?;
                hashes.write_all(hashdeep_line(&written).as_bytes())?;
            }
            body.write_all(body_line(&file, md5.as_deref()).as_bytes())
        };
        self.each(ui, &mut sink)?;
        manifest.finish()?;
        hashes.flush()?;
        body.flush()?;
        writeln!(summary_file, "Files out of {}: {written_files} written", disk.lossy())?;
        let mut text = anstream::StripStream::new(Vec::new());
        write_summary(&mut text, summary)?;
        summary_file.write_all(&text.into_inner())?;
        summary_file.flush()?;
        for finding in findings.iter().chain(&failed) {
            ui.warn(format!("{}: {}", finding.path, finding.what));
        }
        ui.message(format!("wrote {written_files} files to {}", out.display()));
        let is_partial = failed.iter().any(|finding| finding.weight == Weight::Unreadable);
        let partly = if is_partial { Outcome::Partial } else { Outcome::Clean };
        let unverified = if is_unverified { Outcome::Unverified } else { Outcome::Clean };
        findings.extend(failed);
        Ok(outcome(summary, findings, self.stop).and(partly).and(unverified))
    }
}

/// A file that could not be written, or not so that it can be trusted.
fn not_written(line: &FileLine, error: &GetError) -> Finding {
    let is_unverified = matches!(error, GetError::Unverified(_));
    Finding {
        code: if is_unverified { "files.unverified" } else { "files.unread" }.to_owned(),
        weight: if is_unverified { Weight::Damage } else { Weight::Unreadable },
        path: line.path.lossy().into_owned(),
        offset_bytes: None,
        what: error.to_string(),
        next: is_unverified.then(|| "write to another medium".to_owned()),
    }
}

/// Lists beside a file what of it is zeros, or written as it stands though the map cannot tell.
fn write_holes(out: &Path, written: &Written, line: &FileLine) -> io::Result<()> {
    let (kind, is_any) = if written.unsure.is_empty() {
        (".holes.json", !written.holes.is_empty())
    } else {
        (".undetermined.json", true)
    };
    if !is_any {
        return Ok(());
    }
    let mut name = written.output.clone().into_os_string();
    name.push(kind);
    let path = out.join(PathBuf::from(name));
    let holes = fs::File::options().write(true).create_new(true).open(path)?;
    serde_json::to_writer(holes, &line.holes)?;
    Ok(())
}
