//! What VMware encrypts itself.

use super::text::{Machine, dictionary};

/// Stands in every secret value; must come out of no view.
pub const SECRET: &str = "c2VjcmV0a2V5bWF0ZXJpYWw=";

fn whole(name: &str, key_safe: &str) -> Vec<u8> {
    let pairs =
        [("displayName", name), ("encryption.keySafe", key_safe), ("encryption.data", SECRET)];
    dictionary(Some("UTF-8"), &pairs.map(|(key, value)| (key.into(), value.into())))
}

/// A `.vmx` wholly encrypted under a passphrase.
#[must_use]
pub fn passphrase_vmx(name: &str) -> Vec<u8> {
    whole(
        name,
        &format!(
            "vmware:key/list/(pair/(phrase/AbC%3d/pass2key%3dPBKDF2%2dHMAC%2dSHA%2d1%3acipher%3d\
         AES%2d256%3arounds%3d10000%3asalt%3d{SECRET},HMAC%2dSHA%2d1,{SECRET}))"
        ),
    )
}

/// A `.vmx` wholly encrypted under a key server.
#[must_use]
pub fn key_server_vmx(name: &str) -> Vec<u8> {
    whole(
        name,
        &format!(
            "vmware:key/list/(pair/(fqid/<VMWARE-NULL>/HyTrust%20One/1234-key,HMAC%2dSHA%2d256,{SECRET}))"
        ),
    )
}

/// A `.vmx` of which only the vTPM's secrets are encrypted.
#[must_use]
pub fn partial_vmx() -> Vec<u8> {
    let mut machine = Machine::server("tpm");
    let key_safe = format!("vmware:key/list/(pair/(fqid/a/NKP/key-7,HMAC%2dSHA%2d256,{SECRET}))");
    let more = [
        ("vmx.encryptionType", "partial"),
        ("vtpm.present", "TRUE"),
        ("vtpm.ekCRT", SECRET),
        ("encryption.keySafe", key_safe.as_str()),
        ("encryption.data", SECRET),
    ];
    machine.extra = more.map(|(key, value)| (key.into(), value.into())).into();
    machine.vmx()
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}

/// An encrypted-file container of that much content.
#[must_use]
pub fn container(content: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [0x8943_DD9E_u32, 1, 4064, 16, 16, 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&content.to_le_bytes());
    out.resize(0xff0, 0);
    out.extend_from_slice(&noise(16));
    let blocks = content.div_ceil(4064) as usize;
    out.extend_from_slice(&noise(blocks * 4096));
    out
}

/// An ESXi envelope round `body` bytes.
#[must_use]
pub fn envelope(body: usize) -> Vec<u8> {
    let mut out = b"DataTransformEnvelope".to_vec();
    out.resize(504, 0);
    out.extend_from_slice(&0xE00_u32.to_le_bytes());
    out.extend_from_slice(&2_u32.to_le_bytes());
    let mut attribute = |kind: u8, name: &str, value: &[u8]| {
        out.extend_from_slice(&[kind, 0, 0, 0]);
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        if kind == 12 {
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        }
        out.extend_from_slice(value);
    };
    attribute(12, "vmware.iv", &noise(12));
    attribute(11, "vmware.keyInfo", b"0a1b2c3d-0000-1111-2222-333344445555\0");
    attribute(11, "vmware.cipherName", b"AES-256-GCM\0");
    attribute(12, "vmware.keyHash", &noise(32));
    out.resize(4096, 0);
    out.extend_from_slice(&noise(body));
    out.extend_from_slice(b"DataTransformAeadFooter");
    out.resize(8192 + body, 0);
    out
}
