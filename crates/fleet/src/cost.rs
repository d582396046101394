//! What a bot costs.
