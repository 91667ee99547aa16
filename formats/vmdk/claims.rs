//! Two entries must not claim the same place: neither can be believed then.

/// Indexes into `claims` (place, owner) of every claim whose place is claimed twice.
/// Ascending claims, the usual case, are told in one pass without sorting.
pub(crate) fn contested(claims: &[(u64, usize)]) -> Vec<(u64, usize)> {
    let ascending =
        claims.iter().zip(claims.iter().skip(1)).all(|((before, _), (after, _))| before < after);
    if ascending {
        return Vec::new();
    }
    let mut sorted = claims.to_vec();
    sorted.sort_unstable();
    let mut found = Vec::new();
    for group in sorted.chunk_by(|(before, _), (after, _)| before == after) {
        if group.len() > 1 {
            found.extend_from_slice(group);
        }
    }
    found.sort_unstable_by_key(|(_, owner)| *owner);
    found
}
