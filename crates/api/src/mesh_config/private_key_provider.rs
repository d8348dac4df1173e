//! Hardware that computes with private keys.

use crate::duration::Duration;
use crate::message::{message, oneof};

message! {
    /// Which hardware.
    pub struct PrivateKeyProvider {
        /// The kind.
        provider: Option<KeyHardware>, oneof;
    }

    /// How hardware that works on several requests at once is asked.
    pub struct BatchedKeys {
        /// How long requests are gathered.
        poll_delay: Option<Duration>, pending;
        /// Whether software is used where there is no such hardware.
        fallback: Option<bool>, pending;
    }
}

oneof! {
    /// Kinds of hardware.
    pub enum KeyHardware {
        /// Instructions of the processor.
        Cryptomb(BatchedKeys) = cryptomb, pending;
        /// An accelerator card.
        Qat(BatchedKeys) = qat, pending;
    }
}
