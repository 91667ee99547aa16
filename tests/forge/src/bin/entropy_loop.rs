//! A plain loop over the `entropy` crate, 4 KiB at a time: what a map of a disk is measured against.

use std::{env, fs::File, io, io::Read as _, process::ExitCode};

use entropy::shannon_entropy;

fn main() -> ExitCode {
    match env::args_os().nth(1).map(|path| sum(&path)) {
        Some(Ok(bits)) => {
            #[allow(clippy::print_stdout, reason = "a tool of the benches tells its sum")]
            {
                println!("{bits}");
            }
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn sum(path: &std::ffi::OsStr) -> io::Result<f64> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; 256 << 10];
    let mut bits = 0.0;
    loop {
        let got = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..got).filter(|b| !b.is_empty()) else { return Ok(bits) };
        bits += bytes.chunks(4096).map(|block| f64::from(shannon_entropy(block))).sum::<f64>();
    }
}
