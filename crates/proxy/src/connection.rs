//! The facts of a connection.
