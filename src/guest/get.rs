//! Files written out.
