//! Everything that can be set, with its default.
