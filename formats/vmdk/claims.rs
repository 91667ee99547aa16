//! Two entries must not claim the same place: neither can be believed then.

/// Claims (place, owner) of which any part of the `size` units from their place on is claimed by
/// another one, in order of their owners. Ascending claims, the usual case, are told in one pass
/// without sorting.
pub(crate) fn contested(claims: &[(u64, usize)], size: u64) -> Vec<(u64, usize)> {
    let size = size.max(1);
    let apart = |before: u64, after: u64| before.checked_add(size).is_some_and(|end| end <= after);
    let ascending = claims
        .iter()
        .zip(claims.iter().skip(1))
        .all(|((before, _), (after, _))| apart(*before, *after));
    if ascending {
        return Vec::new();
    }
    let mut sorted = claims.to_vec();
    sorted.sort_unstable();
    let mut found = Vec::new();
    for group in sorted.chunk_by(|(before, _), (after, _)| !apart(*before, *after)) {
        if group.len() > 1 {
            found.extend_from_slice(group);
        }
    }
    found.sort_unstable_by_key(|(_, owner)| *owner);
    found
}
