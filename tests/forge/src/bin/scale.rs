//! `scale folders OUT COUNT` or `scale disks OUT MACHINES`: estates for measuring a sweep.

use std::{env, io, path::Path, process::ExitCode};

use vmglean_forge::scale;

fn main() -> io::Result<ExitCode> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [what, out, count] = args.as_slice() else { return Ok(ExitCode::from(2)) };
    let (out, Ok(count)) = (Path::new(out), count.parse()) else { return Ok(ExitCode::from(2)) };
    match what.as_str() {
        "folders" => scale::small_files(out, count)?,
        "disks" => scale::sparse_estate(out, count)?,
        _ => return Ok(ExitCode::from(2)),
    }
    Ok(ExitCode::SUCCESS)
}
