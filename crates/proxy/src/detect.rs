//! Protocol detection.
