//! How the objects that users write are described: once, and everything else follows.
//!
//! A kind is declared with `message!`, `oneof!` and `enumeration!`. From one declaration come the
//! Rust type, the decoder by the rules of protobuf's JSON form, and a static descriptor with every
//! field's name, type, documentation, rules and whether Lateen honours it. The descriptor feeds the
//! account of fields and the custom resource definitions.

mod decode;
mod define;
mod rule;
mod scalar;

pub(crate) use decode::{Decoded, Decoder};
pub use define::names;
pub(crate) use define::{camel, enumeration, honoured, message, oneof, rules};
pub use rule::Rule;
#[cfg(test)]
pub(crate) use scalar::to_json;
pub use scalar::{Any, Bytes, IntOrString, SecretText, Struct};

use crate::value::Node;

/// Whether Lateen acts on a field or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Honoured {
    /// It has the effect that Istio documents.
    Yes,
    /// It is read and checked, and reported wherever it is used, but it has no effect yet.
    NotYet,
    /// It is read and checked, and nothing follows from it for the mesh: it is someone else's business,
    /// or only groups or names what stands below or beside it.
    Inert,
}

/// A message: its name, its documentation, its members in the order of declaration.
#[derive(Debug)]
pub struct MessageDescriptor {
    /// The Rust type's name.
    pub name: &'static str,
    /// What it means, in Markdown.
    pub doc: &'static str,
    /// Whether fields that are not declared are left alone instead of being reported.
    pub open: bool,
    /// Rules about several fields at once.
    pub rules: &'static [Rule],
    /// Fields and oneofs.
    pub members: &'static [Member],
}

/// A part of a message.
#[derive(Debug)]
pub enum Member {
    /// One field.
    Field(FieldDescriptor),
    /// A group of fields of which at most one may be set.
    OneOf {
        /// The group's name.
        name: &'static str,
        /// The fields of the group.
        fields: fn() -> &'static [FieldDescriptor],
    },
}

/// A field as users see it.
#[derive(Debug)]
pub struct FieldDescriptor {
    /// The name in JSON and YAML, usually lowerCamelCase.
    pub name: &'static str,
    /// What it means, in Markdown.
    pub doc: &'static str,
    /// What may be written there.
    pub shape: fn() -> Shape,
    /// Whether `null` may be written, which is the same as nothing.
    pub nullable: bool,
    /// What values must be like.
    pub rules: &'static [Rule],
    /// Whether Lateen acts on it.
    pub honoured: Honoured,
}

/// What may be written in a field.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// An integer between the bounds, which are inclusive.
    Integer {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// Any number.
    Float,
    /// Text such as `1.5s`.
    Duration,
    /// Text in the form of RFC 3339.
    Timestamp,
    /// Text in base64.
    Bytes,
    /// A number or text, as Kubernetes' IntOrString.
    IntOrString,
    /// Any JSON object.
    Struct,
    /// Any JSON value.
    Any,
    /// One of a list of names.
    Enum(fn() -> &'static EnumDescriptor),
    /// A message.
    Message(fn() -> &'static MessageDescriptor),
    /// A list.
    List(fn() -> Shape),
    /// A mapping from text (or from a number, written as text) to values.
    Map(fn() -> Shape),
}

/// The values of an enumeration.
#[derive(Debug)]
pub struct EnumDescriptor {
    /// The Rust type's name.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// The values in the order of their numbers' declaration.
    pub values: &'static [EnumValueDescriptor],
}

/// One value of an enumeration.
#[derive(Debug)]
pub struct EnumValueDescriptor {
    /// The name that users write.
    pub name: &'static str,
    /// The number that protobuf's JSON form accepts as well.
    pub number: i32,
    /// What it means.
    pub doc: &'static str,
    /// Whether Lateen acts on it.
    pub honoured: Honoured,
}

/// A type that a field can have.
pub trait Decode: Sized {
    /// Whether this is a number or a truth value.
    #[doc(hidden)]
    const IS_PLAIN: bool = false;

    /// Whether this is a number or a truth value that may be unset.
    #[doc(hidden)]
    const IS_NULLABLE: bool = false;

    /// What may be written for it.
    fn shape() -> Shape;

    /// Reads it. What is wrong is reported to the decoder, and then nothing is returned.
    #[doc(hidden)]
    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self>;
}

/// A message type.
pub trait Message: Default {
    /// Its description.
    fn descriptor() -> &'static MessageDescriptor;

    /// Decodes one member by its JSON name, which the descriptor has.
    #[doc(hidden)]
    fn set(&mut self, name: &'static str, node: &Node, decoder: &mut Decoder);
}

/// A group of fields of which at most one may be set: implemented for `Option<Group>`.
#[doc(hidden)]
pub trait OneOf {
    /// The enum of what the fields hold.
    type Group;

    /// The fields of the group.
    fn fields() -> &'static [FieldDescriptor];

    /// Decodes one field of the group by its JSON name.
    fn decode_member(name: &'static str, node: &Node, decoder: &mut Decoder)
    -> Option<Self::Group>;
}

impl MessageDescriptor {
    /// Every field with the fields of oneofs in their place.
    pub fn fields(&self) -> impl Iterator<Item = &'static FieldDescriptor> + use<> {
        self.members.iter().flat_map(|member| match member {
            Member::Field(field) => std::slice::from_ref(field),
            Member::OneOf { fields, .. } => fields(),
        })
    }

    /// The field that a user names in either of protobuf's spellings: `perTryTimeout` or
    /// `per_try_timeout`.
    pub fn field(&self, written: &str) -> Option<&'static FieldDescriptor> {
        self.fields().find(|field| names::is_spelling_of(written, field.name))
    }
}
