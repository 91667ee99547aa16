//! Inflating one grain, never further than one grain.

use flate2::{Decompress, FlushDecompress, Status};

use crate::defect::DefectKind;

/// What came out of one grain's zlib data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inflated {
    /// Bytes that came out; the rest of the buffer is untouched.
    pub produced: usize,
    /// Bytes of zlib data that were used.
    pub consumed: usize,
}

/// Inflates zlib data (RFC 1950) into `out`, which is one grain long. An `Ok` was proven by the
/// data's own Adler-32 checksum. The last grain of a disk may give fewer bytes than `out` holds.
///
/// # Errors
/// [`DefectKind::Inflate`] where the data is broken, ends early, fails its checksum, or would
/// give more than `out` holds. `out` then holds what came before the fault, unproven.
pub fn inflate_grain(zlib: &[u8], out: &mut [u8]) -> Result<Inflated, DefectKind> {
    let broken = |why: String| DefectKind::Inflate { why };
    let mut engine = Decompress::new(true);
    let status = engine
        .decompress(zlib, out, FlushDecompress::Finish)
        .map_err(|error| broken(error.message().unwrap_or("not zlib data").to_owned()))?;
    let produced = usize::try_from(engine.total_out()).unwrap_or(usize::MAX);
    let consumed = usize::try_from(engine.total_in()).unwrap_or(usize::MAX);
    if status == Status::StreamEnd {
        return Ok(Inflated { produced, consumed });
    }
    if produced < out.len() {
        return Err(broken(format!("it ends after {produced} of {} bytes", out.len())));
    }
    // The grain is full; the stream's end may still have to be read.
    let mut beyond = [0u8; 1];
    let rest = zlib.get(consumed..).unwrap_or_default();
    match engine.decompress(rest, &mut beyond, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) if engine.total_out() == u64::try_from(produced).unwrap_or(0) => {
            let consumed = usize::try_from(engine.total_in()).unwrap_or(usize::MAX);
            Ok(Inflated { produced, consumed })
        }
        Ok(_) if engine.total_out() > u64::try_from(produced).unwrap_or(0) => {
            Err(broken(format!("it gives more than {} bytes", out.len())))
        }
        Ok(_) => Err(broken("it ends before its checksum".to_owned())),
        Err(error) => Err(broken(error.message().unwrap_or("not zlib data").to_owned())),
    }
}
