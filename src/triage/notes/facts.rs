//! What a note tells about its victim.

use serde::{Deserialize, Serialize};

/// What was parsed out of a note, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteFacts {
    /// Ids by which the attacker knows the victim.
    pub victim_ids: Vec<String>,
    /// Suffixes that the note says encrypted files carry, without dot.
    pub extensions: Vec<String>,
    /// `.onion` addresses; text only, never opened.
    pub onion_addresses: Vec<String>,
    /// Mail addresses and chat ids.
    pub contacts: Vec<String>,
}
