//! Foreign bytes inside a small file that is else sound.

use std::ops::Range;

use vmglean_formats::nvram::Nvram;

/// Bytes looked at together for random ones: a sector holds several such windows whole.
const RANDOM_BYTES: usize = 128;
const RANDOM_STEP: usize = 32;
/// Of 128 random bytes 101 ± 4 are different; firmware memory of real machines stays below 60.
const RANDOM_DISTINCT: usize = 80;
/// Variables from this length on may be certificates, hashes and keys, random by nature.
const KEY_BYTES: u64 = 128;
/// Bytes looked at together for those that no text holds.
const BINARY_BYTES: usize = 64;
/// Of 64 random bytes 7 are control characters; a log that quotes its guest may hold one or two.
const BINARY_CONTROLS: usize = 4;

/// Where the first stretch of random bytes in an `.nvram` begins, to [`RANDOM_STEP`] bytes. What
/// may be keys by its place in the structure is left out.
pub(super) fn random_in_nvram(bytes: &[u8]) -> Option<usize> {
    let keys = keys(bytes);
    let last = bytes.len().saturating_sub(RANDOM_BYTES);
    // The last window ends with the file, whatever its length.
    (0..last).step_by(RANDOM_STEP).chain([last]).find(|at| {
        let Some(window) = bytes.get(*at..*at + RANDOM_BYTES) else { return false };
        let is_key = |key: &Range<usize>| key.start < *at + RANDOM_BYTES && *at < key.end;
        distinct(window) >= RANDOM_DISTINCT && !keys.iter().any(is_key)
    })
}

/// Where in a text the first stretch of bytes begins that no text holds, to the byte.
pub(super) fn binary_in_text(bytes: &[u8]) -> Option<usize> {
    let is_control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b);
    let mut recent = [0; BINARY_CONTROLS];
    let controls = bytes.iter().enumerate().filter(|(_, byte)| is_control(byte));
    for (count, (at, _)) in controls.enumerate() {
        *recent.get_mut(count % BINARY_CONTROLS)? = at;
        // The slot after it holds the oldest of as many.
        let first = *recent.get((count + 1) % BINARY_CONTROLS)?;
        if count + 1 >= BINARY_CONTROLS && at - first < BINARY_BYTES {
            return Some(first);
        }
    }
    None
}

fn distinct(window: &[u8]) -> usize {
    let mut seen = [0_u64; 4];
    for byte in window {
        if let Some(word) = seen.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }
    seen.iter().map(|word| word.count_ones() as usize).sum()
}

/// Where keys lie: long variables of the EFI store, and records of a virtual TPM.
fn keys(bytes: &[u8]) -> Vec<Range<usize>> {
    let found = Nvram::parse(bytes).value;
    let place = |from: u64, to: u64| {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        from..usize::try_from(to).unwrap_or(usize::MAX)
    };
    let records = found
        .records
        .iter()
        .filter(|record| record.section.contains("TPM") || record.tag.contains("TPM"));
    let records =
        records.map(|record| place(record.at.0, record.at.0.saturating_add(record.length.0)));
    let variables = found.efi.iter().flat_map(|store| &store.variables);
    let variables = variables.filter(|variable| variable.length.0 >= KEY_BYTES).map(|variable| {
        // A header of 28 bytes and the name stand in front of the data.
        let name = 2 * (variable.name.encode_utf16().count() as u64 + 1);
        let data = variable.at.0.saturating_add(28).saturating_add(name);
        place(data, data.saturating_add(variable.length.0))
    });
    records.chain(variables).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_count_only_where_they_stand_close_together() {
        let line = b"2026-01-01T00:00:00Z In(05) vmx - nothing to tell of\r\n";
        let mut log = line.repeat(100);
        assert_eq!(binary_in_text(&log), None);
        for at in (0..log.len()).step_by(60) {
            log[at] = 7;
        }
        assert_eq!(binary_in_text(&log), None);
        // The one twenty bytes before counts with them.
        log[2000..2004].fill(0);
        assert_eq!(binary_in_text(&log), Some(1980));
        assert_eq!(binary_in_text(&[1, 2, 3]), None);
        assert_eq!(binary_in_text(&[1, 2, 3, 4]), Some(0));
    }

    #[test]
    fn keys_in_a_store_are_no_foreign_bytes() {
        let random: Vec<u8> =
            blake3::hash(b"key").as_bytes().iter().cycle().take(32).copied().collect();
        let mut key = Vec::new();
        for n in 0..40_u8 {
            key.extend(blake3::hash(&[&random[..], &[n]].concat()).as_bytes());
        }
        let store = vmglean_forge::vm::nvram::efi(&[("BootOrder", &[0, 0]), ("db", &key)]);
        assert_eq!(random_in_nvram(&store), None);
        let mut hit = store.clone();
        let behind = store.len() - 1000;
        hit[behind..behind + 512].copy_from_slice(&key[..512]);
        assert!(random_in_nvram(&hit).is_some_and(|at| at.abs_diff(behind) <= RANDOM_BYTES));
    }
}
