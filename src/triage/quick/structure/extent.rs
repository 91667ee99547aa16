//! Headers of VMware's own extent kinds, recognised by magic and shape.
//!
//! The parsers of the formats crate judge every field; here it only matters whether the header
//! is there, gone, or ciphertext.

use super::{Place, is_random, mapped, structure, u32_at, u64_at};
use crate::{finding::Evidence, triage::quick::verdict::ExtentKind};

const SECTOR: u64 = 512;

pub(super) fn look(place: &mut Place<'_>, kind: ExtentKind) {
    let Some(head) = place.read(0, 4096) else { return };
    place.found.head_is_random = is_random(&head);
    let name = match kind {
        ExtentKind::Cowd => "COWD header",
        ExtentKind::SeSparse => "seSparse header",
        _ => "sparse extent header",
    };
    let holds = match kind {
        ExtentKind::Cowd => cowd(&head),
        ExtentKind::SeSparse => head.starts_with(&0xCAFE_BABE_u64.to_le_bytes()),
        _ => hosted(place, &head),
    };
    if holds {
        place.found.head_is_intact = true;
        place.found.intact(0, SECTOR, format!("{name} is there and in range"));
    } else if place.found.head_is_random {
        let detail = format!("random-like bytes where the {name} must be");
        place.found.destroyed.push(structure(0, head.len() as u64, detail));
    } else if head.iter().all(|byte| *byte == 0) {
        let detail = format!("zeros where the {name} must be");
        place.found.damaged.push(structure(0, head.len() as u64, detail));
    } else {
        place.found.damaged.push(structure(0, SECTOR, format!("no {name}")));
    }
    if holds && kind != ExtentKind::Stream {
        guest(place);
    }
    // A header that knows its grain directory was written last, over a finished stream.
    let directory_at_end = u64_at(&head, 56) == Some(u64::MAX);
    if kind == ExtentKind::Stream && (directory_at_end || !holds) {
        stream_end(place);
    }
}

/// Looks at the guest's own structures through the extent's tables.
fn guest(place: &mut Place<'_>) {
    let Some(inner) = mapped::look(place.source) else { return };
    let outer = &mut *place.found;
    outer.read_bytes += inner.read_bytes;
    let within = |one: &Evidence| Evidence {
        detail: format!("inside the disk, at {:#x}: {}", one.offset_bytes, one.detail),
        // A place of the virtual disk is none of this file.
        offset_bytes: 0,
        ..one.clone()
    };
    outer.destroyed.extend(inner.destroyed.iter().map(within));
    outer.damaged.extend(inner.damaged.iter().map(within));
    outer.suspicious.extend(inner.suspicious.iter().map(within));
    outer.doubtful.extend(inner.doubtful.iter().map(within));
    outer.intact.extend(inner.intact.iter().take(INNER_INTACT).map(within));
}

/// Whole structures of the guest that are named.
const INNER_INTACT: usize = 2;

/// COWD: magic, version 1, flags 3, a plausible grain size.
fn cowd(head: &[u8]) -> bool {
    let grain = u32_at(head, 16);
    head.starts_with(b"COWD")
        && u32_at(head, 4) == Some(1)
        && grain.is_some_and(|grain| grain > 0 && grain <= 1 << 20)
}

/// KDMV: magic, version 1 to 3, the four end-of-line characters, a descriptor where it says.
fn hosted(place: &mut Place<'_>, head: &[u8]) -> bool {
    let version = u32_at(head, 4).unwrap_or(0);
    let lines = head.get(73..77) == Some(b"\n \r\n");
    if !head.starts_with(b"KDMV") || !(1..=3).contains(&version) {
        return false;
    }
    if !lines {
        let detail = "line-end characters of the header are altered: the file went through a \
                      text conversion or was written over";
        place.found.damaged.push(structure(73, 4, detail));
    }
    let at = u64_at(head, 28).and_then(|sectors| sectors.checked_mul(SECTOR));
    let length = u64_at(head, 36).and_then(|sectors| sectors.checked_mul(SECTOR));
    if let (Some(at), Some(length)) = (at, length)
        && at > 0
        && length > 0
        && at < place.size
        && let Some(text) = place.read(at, 4096)
    {
        let lower = text.to_ascii_lowercase();
        // Converters leave the first line out; the keys are what a reader needs.
        let words: [&[u8]; 2] = [b"disk descriptorfile", b"createtype"];
        if words.iter().any(|word| memchr::memmem::find(&lower, word).is_some()) {
            place.found.intact(at, length.min(1 << 20), "embedded descriptor is text");
        } else if is_random(&text) {
            let detail = "random-like bytes where the embedded descriptor must be";
            place.found.destroyed.push(structure(at, 4096, detail));
        } else {
            let detail = "no text where the embedded descriptor must be";
            place.found.damaged.push(structure(at, 4096, detail));
        }
    }
    true
}

/// A stream whose grain directory stands at its end closes with a footer that repeats the header, then a sector of zeros.
fn stream_end(place: &mut Place<'_>) {
    let at = place.size.saturating_sub(2 * SECTOR);
    let Some(end) = place.read(at, 1024) else { return };
    let zeros = end.get(512..).is_some_and(|eos| eos.iter().all(|byte| *byte == 0));
    if end.starts_with(b"KDMV") && zeros {
        place.found.intact(at, 1024, "footer and end-of-stream marker close the stream");
    } else {
        let detail = "no footer and end-of-stream marker at the end of the stream";
        place.found.damaged.push(structure(at, 1024, detail));
    }
}
