//! The status of Istio's kinds: what control planes say about an object.

use jiff::Timestamp;

use crate::message::message;

message! {
    /// What control planes say about the object.
    pub struct Status: open {
        /// Conditions, one a type.
        conditions: Vec<Condition>, inert;
        /// What is wrong with it.
        validation_messages: Vec<ValidationMessage>, inert;
        /// The generation that was looked at.
        observed_generation: Option<i64>, inert;
    }

    /// What control planes say about a ServiceEntry.
    pub struct ServiceEntryStatus: open {
        /// Conditions, one a type.
        conditions: Vec<Condition>, inert;
        /// What is wrong with it.
        validation_messages: Vec<ValidationMessage>, inert;
        /// The generation that was looked at.
        observed_generation: Option<i64>, inert;
        /// Addresses that were allocated for hosts without one.
        addresses: Vec<AllocatedAddress>, inert;
    }

    /// One aspect of the state of an object.
    pub struct Condition: open {
        /// Which aspect.
        r#type: String, inert;
        /// `True`, `False` or `Unknown`.
        status: String, inert;
        /// When it was looked at last.
        last_probe_time: Option<Timestamp>, inert;
        /// When it changed last.
        last_transition_time: Option<Timestamp>, inert;
        /// Why, in one word.
        reason: String, inert;
        /// Why, for people.
        message: String, inert;
        /// The generation that was looked at.
        observed_generation: Option<i64>, inert;
    }

    /// Something that is wrong.
    pub struct ValidationMessage: open {
        /// Which kind of message.
        r#type: Option<MessageType>, inert;
        /// How serious it is.
        level: String, inert;
        /// Where more is said about it.
        documentation_url: String, inert;
    }

    /// A kind of message.
    pub struct MessageType: open {
        /// Its name.
        name: String, inert;
        /// Its code.
        code: String, inert;
    }

    /// An address that was allocated.
    pub struct AllocatedAddress: open {
        /// The address.
        value: String, inert;
        /// The host that it is for.
        host: String, inert;
    }
}
