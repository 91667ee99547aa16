//! Writes the seed corpora of the fuzz targets: `fuzz_seeds FOLDER` makes `FOLDER/TARGET/NAME`.

use std::{env, fs, io, path::Path};

use vmglean_forge::{guest, vm, vmdk::seeds};

/// Largest seed that is worth its time; libFuzzer cuts longer inputs by itself.
const LONGEST: u64 = 1 << 20;

fn put(folder: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

fn main() -> io::Result<()> {
    let folder =
        env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: fuzz_seeds FOLDER"))?;
    let folder = Path::new(&folder);
    for (name, text) in seeds::descriptors() {
        put(folder, "descriptor", &name, text.as_bytes())?;
        put(folder, "detect", &name, text.as_bytes())?;
    }
    for seed in seeds::extents().into_iter().chain(seeds::tiny_sesparse()) {
        if seed.forged.image.length > LONGEST {
            continue;
        }
        let bytes = seed.forged.image.to_bytes();
        put(folder, seed.family, seed.name, &bytes)?;
        put(folder, "extent_map", seed.name, &bytes)?;
        put(folder, "detect", seed.name, &bytes[..bytes.len().min(36_864)])?;
    }
    for (target, name, bytes) in vm::seeds::all().into_iter().chain(guest::seeds::all()) {
        put(folder, target, &name, &bytes)?;
        put(folder, "detect", &format!("{target}-{name}"), &bytes[..bytes.len().min(36_864)])?;
    }
    Ok(())
}
