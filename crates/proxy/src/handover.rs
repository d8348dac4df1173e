//! Replacement of a running proxy in place.
