//! What of a chain is refused, unless a part of it is asked for.

use super::Refused;
use crate::disk::{Chain, ChainEnd, ExtentBody, FileId};

/// What of a chain would be refused, in order: no base, extents that overlap, are short, or leave
/// gaps.
#[must_use]
pub fn objections(chain: &Chain, from: usize) -> Vec<Refused> {
    let mut found = Vec::new();
    let why = match &chain.end {
        ChainEnd::Base => None,
        ChainEnd::ParentMissing { why } => Some(why.clone()),
        ChainEnd::ParentBroken { why } => Some(format!("the parent is no disk: {why}")),
        ChainEnd::Cycle { path } => {
            Some(format!("{} is its own ancestor", path.as_path().display()))
        }
        ChainEnd::TooLong => Some("more links than are followed".to_owned()),
    };
    if let Some(why) = why {
        let last = chain
            .links
            .last()
            .map_or_else(String::new, |link| format!("{}: ", link.path.as_path().display()));
        found.push(Refused::NoBase(format!("{last}{why}")));
    }
    let headless = chain.findings.iter().filter(|f| f.code == "chain.header-unknown");
    for finding in headless {
        let what = "begins with no VMDK header and no partition table; as plain bytes it is wrong \
                    if its header was encrypted";
        found.push(Refused::Extents { link: finding.path.clone(), what: what.to_owned() });
    }
    let disk = chain.disk();
    for link in disk.links().iter().skip(from) {
        let mut object = |what: String| {
            found.push(Refused::Extents { link: link.name.clone(), what });
        };
        let mut claims: Vec<(u32, u64, u64)> = Vec::new();
        for extent in &link.extents {
            match &extent.body {
                ExtentBody::Flat { file, at } => {
                    let Some(named) = disk.file(*file) else { continue };
                    let there = named.source.len_bytes().saturating_sub(*at);
                    if there < extent.length {
                        object(format!(
                            "{} holds {there} bytes from byte {at} on, its extent line says {}",
                            named.name, extent.length
                        ));
                    }
                    claims.push((file.0, *at, at.saturating_add(extent.length)));
                }
                ExtentBody::Mapped { file, map, .. } => {
                    let own = map.capacity().0;
                    let name = disk.file(*file).map_or("its extent", |file| &file.name);
                    if own < extent.length {
                        object(format!(
                            "{name} covers {own} bytes, its extent line says {}: a gap",
                            extent.length
                        ));
                    }
                    claims.push((file.0, 0, u64::MAX));
                }
                ExtentBody::Zero | ExtentBody::Lost { .. } | ExtentBody::Unreadable { .. } => {}
            }
        }
        claims.sort_unstable();
        for pair in claims.windows(2) {
            if let [(file, _, end), (next, start, _)] = pair
                && file == next
                && start < end
            {
                let name = disk.file(FileId(*file)).map_or("a file", |f| &f.name);
                object(format!("two extents overlap in {name} at byte {start}"));
            }
        }
    }
    found
}
