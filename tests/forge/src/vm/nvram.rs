//! Firmware state.

fn record(out: &mut Vec<u8>, section: &[u8; 4], tag: &[u8; 4], data: &[u8]) {
    out.extend_from_slice(section);
    out.extend_from_slice(tag);
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
}

fn common() -> Vec<u8> {
    let mut out = b"MRVN\x01\0\0\0".to_vec();
    record(&mut out, b"CMOS", b"timA", &[0xff; 4]);
    record(&mut out, b"CMOS", b"timB", &[0xff; 8]);
    record(&mut out, b"CMOS", b"\0\0\0\0", &[0; 128]);
    record(&mut out, b"CMOS", b"440\0", &[0; 128]);
    record(&mut out, b"CMOS", b"440v", &[1, 0, 0, 0]);
    record(&mut out, b"CMOS", b"440x", &[0; 128]);
    record(&mut out, b"ESCD", b"\0\0\0\0", &[0; 8192]);
    out
}

/// The file of a BIOS machine: 8684 bytes.
#[must_use]
pub fn bios() -> Vec<u8> {
    common()
}

/// The file of an EFI machine with these variables: 270840 bytes.
#[must_use]
pub fn efi(variables: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = common();
    record(&mut out, b"EFI_", b"NV\0\0", &store(variables, 262_144));
    out
}

/// A variable store of `size` bytes.
///
/// # Panics
/// When the variables do not fit.
#[must_use]
pub fn store(variables: &[(&str, &[u8])], size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, data) in variables {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        body.extend_from_slice(&[
            0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03,
            0x2b, 0x8c,
        ]);
        body.extend_from_slice(&7_u32.to_le_bytes());
        body.extend_from_slice(&((name.len() + data.len()) as u32).to_le_bytes());
        body.extend_from_slice(&(name.len() as u32).to_le_bytes());
        body.extend_from_slice(&name);
        body.extend_from_slice(data);
    }
    let mut out = b"VMWNVRAM\0\0\0\0".to_vec();
    out.extend_from_slice(&(16 + body.len() as u32).to_le_bytes());
    out.extend_from_slice(&body);
    assert!(out.len() <= size);
    out.resize(size, 0xff);
    out
}
