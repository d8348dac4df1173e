//! See `filter`.
