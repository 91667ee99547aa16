//! One compressed grain to bytes.

use std::io::Read;

use super::extent::MAX_INFLATED_GRAIN_BYTES;

/// Inflates a zlib stream of one grain that must give at least `need` bytes. The stream's own
/// checksum is proven; bytes past twice `need` are not asked for.
pub(super) fn inflate(packed: &[u8], need: u64) -> Result<Vec<u8>, String> {
    let most = need.max(64 << 10).saturating_mul(2).min(MAX_INFLATED_GRAIN_BYTES);
    let mut out = Vec::with_capacity(usize::try_from(need).unwrap_or(0).min(4 << 20));
    let mut reader = flate2::read::ZlibDecoder::new(packed).take(most);
    reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
    if (out.len() as u64) < need {
        return Err(format!("inflates to {} bytes, {need} are promised", out.len()));
    }
    Ok(out)
}
