//! vmtar (`.vgz` unpacked): a tar whose headers stand together and point to their data.
//!
//! `visor  ` at 257, data offset at 496, text pages at 504, fixup pages at 508. Inferred from one
//! archive. The file may be packed in gzip or xz, which is undone elsewhere.

use serde::Serialize;

use crate::{
    defect::{Checked, DefectKind},
    dict::DefectList,
    ovf::tar_header,
    read::ReadAt,
    units::{ByteOffset, Bytes},
};

/// Data begin at multiples of this.
const PAGE_BYTES: u64 = 4096;
const MAX_MEMBERS: usize = 1 << 16;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmtarMember {
    /// Its name, as written; may point anywhere.
    pub name: String,
    /// Where its header stands.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// Where its data begin; 0 for folders and empty files.
    pub data_at: ByteOffset,
    /// Bytes of data.
    #[serde(rename = "length_bytes")]
    pub length: Bytes,
    /// Pages of program text.
    pub text_pages: u32,
    /// Pages to be fixed up.
    pub fixup_pages: u32,
}

/// The members of a vmtar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Vmtar {
    /// In header order.
    pub members: Vec<VmtarMember>,
}

impl Vmtar {
    /// Lists an archive. Stops at a header that is none, with a defect naming the place.
    #[must_use]
    pub fn read(file: &dyn ReadAt) -> Checked<Self> {
        let mut defects = DefectList::new("Vmtar");
        let mut value = Self::default();
        let length = file.len_bytes();
        let mut at = 0_u64;
        loop {
            let place = ByteOffset(at);
            let block = match file.read_up_to(place, 512) {
                Ok(block) if block.len() == 512 => block,
                Ok(block) => {
                    let have = u64::try_from(block.len()).unwrap_or(0);
                    defects.add_at("header", place, DefectKind::Truncated { need: 512, have });
                    break;
                }
                Err(error) => {
                    let kind =
                        DefectKind::Unreadable { length: Bytes(512), why: error.to_string() };
                    defects.add_at("header", place, kind);
                    break;
                }
            };
            if block.iter().all(|byte| *byte == 0) {
                value.check_cover(file, at, &mut defects);
                break;
            }
            if value.members.len() >= MAX_MEMBERS {
                let place = usize::try_from(at).unwrap_or(usize::MAX);
                defects.limit("members", place, MAX_MEMBERS.saturating_add(1), MAX_MEMBERS);
                break;
            }
            if block.get(257..262) != Some(b"visor") {
                let found = block.get(257..261).and_then(<[u8]>::first_chunk);
                let found = found.map_or(0, |chunk| u64::from(u32::from_be_bytes(*chunk)));
                let expected = u64::from(u32::from_be_bytes(*b"viso"));
                let place = ByteOffset(at.saturating_add(257));
                defects.add_at("header.magic", place, DefectKind::Magic { expected, found });
                break;
            }
            let Some(header) = tar_header(&block, at, &mut defects) else { break };
            let number = |from: usize| {
                let bytes = block.get(from..).and_then(<[u8]>::first_chunk);
                bytes.map_or(0, |chunk| u32::from_le_bytes(*chunk))
            };
            let data_at = u64::from(number(496));
            let end = data_at.saturating_add(header.size);
            if header.size > 0 && (end > length || data_at < 512) {
                let kind = DefectKind::PastEnd { to: ByteOffset(end), end: ByteOffset(length) };
                defects.add_at("header.offset", ByteOffset(at.saturating_add(496)), kind);
            }
            if header.size > 0 && !data_at.is_multiple_of(PAGE_BYTES) {
                let kind = DefectKind::Mismatch {
                    expected: "the start of a page".to_owned(),
                    found: ByteOffset(data_at).to_string(),
                };
                defects.add_at("header.offset", ByteOffset(at.saturating_add(496)), kind);
            }
            value.members.push(VmtarMember {
                name: header.name,
                at: place,
                data_at: ByteOffset(data_at),
                length: Bytes(header.size),
                text_pages: number(504),
                fixup_pages: number(508),
            });
            at = at.saturating_add(512);
        }
        Checked { value, defects: defects.finish() }
    }
}

impl Vmtar {
    /// A header that was zeroed looks like the end: what no header points to tells of it.
    fn check_cover(&self, file: &dyn ReadAt, at: u64, defects: &mut DefectList) {
        let filled = self.members.iter().filter(|member| member.length.0 > 0);
        let spans = filled
            .map(|member| (member.data_at.0, member.data_at.0.saturating_add(member.length.0)));
        let (first, end) =
            spans.fold((u64::MAX, at), |(first, end), span| (first.min(span.0), end.max(span.1)));
        let gap = usize::try_from(first.min(file.len_bytes()).saturating_sub(at)).unwrap_or(0);
        let gap = file.read_up_to(ByteOffset(at), gap.min(MAX_MEMBERS)).unwrap_or_default();
        if let Some(odd) = gap.iter().position(|byte| *byte != 0) {
            let place = ByteOffset(at.saturating_add(u64::try_from(odd).unwrap_or(0)));
            let expected = "nothing behind the last header".to_owned();
            let found = "more bytes".to_owned();
            defects.add_at("header", place, DefectKind::Mismatch { expected, found });
        }
        let covered = end.checked_next_multiple_of(PAGE_BYTES).unwrap_or(end);
        if covered < file.len_bytes() {
            let expected = format!("{covered} bytes, as the headers say");
            let found = format!("{} bytes", file.len_bytes());
            let kind = DefectKind::Mismatch { expected, found };
            defects.add_at("file length", ByteOffset(covered), kind);
        }
    }
}
