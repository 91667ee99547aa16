//! `estate OUT`: the sample estate as `OUT/estate`, what a sweep must say of it as
//! `OUT/expected.json`, and how it was made as `OUT/made.md`.

use std::{env, fs, io, path::Path, process::ExitCode};

use vmglean_forge::estate;

fn main() -> io::Result<ExitCode> {
    let Some(out) = env::args_os().nth(1) else { return Ok(ExitCode::from(2)) };
    let out = Path::new(&out);
    let made = estate::make();
    made.write(&out.join("estate"))?;
    fs::write(out.join("expected.json"), estate::expected_json(&made))?;
    fs::write(out.join("made.md"), estate::made_md(&made))?;
    Ok(ExitCode::SUCCESS)
}
