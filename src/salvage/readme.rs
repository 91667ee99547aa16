//! The page for the engineer who gets the folder.

use std::fmt::Write as _;

use super::{
    config::Confidence,
    disks::Carried,
    memory::MemoryPair,
    plan::{MachinePlan, Origin, SalvageOptions},
};
use crate::finding::Weight;

/// Text from evidence on one line: names are hostile input.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || hidden {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

pub(super) fn write(plan: &MachinePlan, options: SalvageOptions) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&format!("{}\n", plain(&plan.name)));
    line("WHAT THIS IS");
    line("A virtual machine put together again from what an attack left of it. The files it was");
    line("made from were only read. Nothing here has been started or proven to start.");
    line("");
    line(&format!("  from       {}", plain(&plan.id)));
    line(&format!("  verdict    {}: {}", plan.condition.verdict, plain(&plan.condition.reason)));
    line(&format!("  way back   {}", plan.condition.route));
    line("");
    line("WHAT IS HERE");
    for file in &plan.files {
        let word = match file.origin {
            Origin::Copied => "copied",
            Origin::Extracted => "extracted",
            Origin::Changed => "changed",
            Origin::Rebuilt => "rebuilt",
        };
        line(&format!("  {:<32} {word}: {}", plain(&file.name), plain(&file.why)));
    }
    line(
        "  MANIFEST.jsonl                   where each byte of each file comes from, with SHA-256",
    );
    let list = format!("../{}.hashdeep", plan.folder);
    line(&format!("  {list:<32} to check the folder later: hashdeep -r -l -a -k '{list}' .",));
    line("");
    line("ITS DISKS");
    if plan.disks.is_empty() {
        line("  none was found");
    }
    for disk in &plan.disks {
        let node = disk.node.as_deref().unwrap_or("-");
        let what = match disk.carried {
            Carried::Copied => "here",
            Carried::Listed => "not copied, as asked: put its files beside this page",
            Carried::Left => "left where it is",
            Carried::Missing => "not found",
        };
        let name = disk.file.as_deref().unwrap_or(&disk.name);
        line(&format!("  {node} {}: {what}", plain(name)));
        line(&format!("      {}: {}", disk.verdict, plain(&disk.reason)));
        if disk.links_left_out > 0 {
            line(&format!(
                "      {} damaged snapshot disks above it are left out",
                disk.links_left_out
            ));
        }
        if disk.carried != Carried::Copied {
            for source in &disk.sources {
                line(&format!("      {}", plain(&source.lossy())));
            }
        }
        if let (Carried::Left, Some(leaf)) = (disk.carried, disk.sources.first()) {
            let leaf = plain(&leaf.lossy()).replace('\'', "'\\''");
            line("      which of its bytes are left:");
            line(&format!("      vmglean map '{leaf}'"));
        }
        for candidate in &disk.candidates {
            line(&format!(
                "      could be its missing {}: {}",
                plain(&candidate.wanted),
                plain(&candidate.path.lossy())
            ));
            line(&format!("        {}", plain(&candidate.why)));
        }
        if !disk.candidates.is_empty() {
            line("      in a copy of its folder, give the right one that name; then salvage that");
        }
    }
    line("");
    line("WHAT IS UNCERTAIN");
    let counts = plan.config.counts();
    let of = |confidence| counts.get(&confidence).copied().unwrap_or(0);
    line(&format!(
        "  {} lines of its configuration: {} its own, {} as last known, {} from older copies, {} derived, {} guessed, {} set here",
        plan.config.lines.len(),
        of(Confidence::Current),
        of(Confidence::LastKnown),
        of(Confidence::Older),
        of(Confidence::Derived),
        of(Confidence::Guessed),
        of(Confidence::Changed),
    ));
    for wanted in [Confidence::Guessed, Confidence::Derived, Confidence::Changed] {
        for entry in plan.config.lines.iter().filter(|entry| entry.confidence == wanted) {
            let word = match wanted {
                Confidence::Guessed => "guessed",
                Confidence::Derived => "derived",
                _ => "set",
            };
            let why = entry.why.as_deref().unwrap_or_default();
            line(&format!(
                "  {word}: {} = {:?} ({})",
                plain(&entry.key),
                entry.shown(),
                plain(why)
            ));
        }
    }
    for entry in plan.config.lines.iter().filter(|entry| !entry.conflicts.is_empty()) {
        let others: Vec<String> = entry
            .conflicts
            .iter()
            .map(|c| format!("{:?} in {}", c.value, plain(&c.place.path.lossy())))
            .collect();
        line(&format!(
            "  disagreement: {} = {:?}; {}",
            plain(&entry.key),
            entry.shown(),
            others.join("; ")
        ));
    }
    for missing in &plan.config.missing {
        line(&format!("  missing: {}: {}", plain(&missing.key), plain(&missing.why)));
    }
    for finding in plan.findings.iter().filter(|f| f.weight != Weight::Note) {
        let of =
            if finding.path == plan.id { String::new() } else { format!("{}: ", finding.path) };
        line(&format!("  {}: {}{}", finding.code, plain(&of), plain(&finding.what)));
        if let Some(next) = &finding.next {
            line(&format!("      next: {}", plain(next)));
        }
    }
    if plan.disks.iter().any(|disk| disk.carried == Carried::Copied) {
        line(
            "  Disks are copied as they stand. \"untouched\" means that no damage was found in what",
        );
        line("  was examined, not that there is none: vmglean sweep --full reads every byte.");
    }
    line("");
    line("WHAT TO DO NEXT");
    let mut number = 0;
    let mut step = |text: &str| {
        number += 1;
        line(&format!("  {number}. {text}"));
    };
    if options.config_only {
        step("Put the disks beside this page, under the names above.");
    }
    if plan.memory.iter().any(|pair| !pair.carried) {
        step("Its memory was saved; --memory carries it over for forensics:");
    }
    step("Keep the evidence untouched; work on this folder or a copy of it.");
    step(&format!(
        "Upload the folder to a datastore and register {}, or open it in Workstation.",
        plain(&plan.vmx_name)
    ));
    step("Connect its network to nothing, or to an isolated port group, before it starts.");
    step("On an ESXi host, clone each disk with vmkfstools -i before use: it proves the chain.");
    step(
        "When asked whether the machine was moved or copied, answer \"I moved it\": its uuid stays.",
    );
    step(
        "Start it, check the guest's file systems, hunt for what the attacker left, then connect it.",
    );
    for pair in &plan.memory {
        let _ = writeln!(
            out,
            "\nMemory: {} of {} bytes at {}, with its state in {}",
            plain(&pair.image.lossy()),
            pair.length_bytes,
            pair.offset_bytes,
            plain(&pair.state_file.lossy())
        );
        for text in memory_lines(pair) {
            let _ = writeln!(out, "  {text}");
        }
    }
    out
}

/// What volatility3 needs to read a memory image.
fn memory_lines(pair: &MemoryPair) -> Vec<String> {
    let name = plain(&pair.name);
    let is_inside = pair.image == pair.state_file;
    let mut lines = Vec::new();
    if pair.carried {
        lines.push(format!("vol -f {name} windows.info"));
        lines.push("(volatility3; a Linux guest needs the symbols of its kernel, too)".to_owned());
    }
    lines.push(format!(
        "volatility3 wants the memory as {name} and its state file beside it, under"
    ));
    lines.push(
        "the same name with its own ending: where a memory of more than 3 GiB belongs stands"
            .to_owned(),
    );
    lines.push("in the state file alone.".to_owned());
    if is_inside {
        lines.push(format!(
            "This memory lies inside its state file, from byte {} on. volatility3 reads none there",
            pair.offset_bytes
        ));
        lines.push(
            "and does not skip the padding that may stand before it: what it reads from such a"
                .to_owned(),
        );
        lines.push("state file can be wrong.".to_owned());
        lines.push(if pair.carried {
            format!("{name} was taken out of it, from behind the padding.")
        } else {
            "--memory takes it out, from behind the padding.".to_owned()
        });
    }
    lines
}
