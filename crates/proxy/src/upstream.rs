//! Dialling.
