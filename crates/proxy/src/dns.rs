//! Name resolution off the workers.
