//! What a definition says about values beyond their shape: the part that the API server checks by
//! itself, from the schema of the custom resource definition.

/// A rule about the value of a field or about a message as a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The field must be there.
    Required,
    /// Text of at least so many characters.
    MinLength(u64),
    /// Text of at most so many characters.
    MaxLength(u64),
    /// Text in which this regular expression is found.
    Pattern(&'static str),
    /// The smallest number.
    Minimum(i64),
    /// The largest number.
    Maximum(i64),
    /// The number of a port.
    Port,
    /// A duration that may be none at all; others are at least a millisecond.
    OrZero,
    /// A list of at least so many items.
    MinItems(u64),
    /// A list of at most so many items.
    MaxItems(u64),
    /// A list whose items differ in this field.
    DistinctBy(&'static str),
    /// A map of at least so many entries.
    MinProperties(u64),
    /// A map of at most so many entries.
    MaxProperties(u64),
    /// Rules about each item of a list or value of a map.
    Each(&'static [Rule]),
    /// An expression of the Common Expression Language over `self` that must hold, and what is said
    /// when it does not.
    Holds(&'static str, &'static str),
    /// Another spelling that the API server keeps as well.
    Alias(&'static str),
    /// At this place the message's own rule that says this does not apply.
    Without(&'static str),
}
