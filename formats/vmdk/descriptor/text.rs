//! From bytes to lines: NULs, encodings, escapes.

/// Whether these first bytes of a file begin a descriptor: a `# Disk DescriptorFile` line in any
/// case, after at most a BOM, blank lines and other comments.
#[must_use]
pub fn looks_like_descriptor(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for line in bytes.split(|&byte| byte == b'\n').take(16) {
        let line = line.trim_ascii();
        let Some(comment) = line.strip_prefix(b"#") else {
            if line.is_empty() {
                continue;
            }
            return false;
        };
        if comment.trim_ascii().eq_ignore_ascii_case(b"disk descriptorfile") {
            return true;
        }
    }
    false
}
