//! Every cut and every lost sector of a small file.

/// The file cut at each 512-byte step, and with each 512-byte sector zeroed or overwritten with
/// noise; damage that changes nothing is left out.
#[must_use]
pub fn every_hurt(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for at in (0..bytes.len()).step_by(512) {
        all.push((format!("cut at {at}"), bytes[..at].to_vec()));
        for (how, noisy) in [("zeroed", false), ("overwritten", true)] {
            let mut hurt = bytes.to_vec();
            let end = (at + 512).min(bytes.len());
            let mut state = 0x2545_f491_u32 ^ at as u32;
            for byte in &mut hurt[at..end] {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                *byte = if noisy { state as u8 } else { 0 };
            }
            if hurt != bytes {
                all.push((format!("sector at {at} {how}"), hurt));
            }
        }
    }
    all
}
