//! The declaring macros.

/// Names of fields in Rust, JSON and protobuf.
pub mod names {
    /// Whether `written` is the JSON name or its snake_case form.
    pub fn is_spelling_of(written: &str, json_name: &str) -> bool {
        written == json_name || (written.contains('_') && is_snake_of(written, json_name))
    }

    fn is_snake_of(written: &str, json_name: &str) -> bool {
        let mut camel = json_name.bytes();
        let mut upper = false;
        for byte in written.bytes() {
            if byte == b'_' {
                upper = true;
                continue;
            }
            let wanted = if upper { byte.to_ascii_uppercase() } else { byte };
            upper = false;
            if camel.next() != Some(wanted) {
                return false;
            }
        }
        camel.next().is_none()
    }

    const fn without_raw_prefix(ident: &[u8]) -> usize {
        if ident.len() > 2 && ident[0] == b'r' && ident[1] == b'#' { 2 } else { 0 }
    }

    /// The length of a Rust identifier's lowerCamelCase form.
    #[doc(hidden)]
    pub const fn camel_len(ident: &str) -> usize {
        let bytes = ident.as_bytes();
        let mut at = without_raw_prefix(bytes);
        let mut len = 0;
        while at < bytes.len() {
            if bytes[at] != b'_' {
                len += 1;
            }
            at += 1;
        }
        len
    }

    /// A Rust identifier's lowerCamelCase form; `N` is its [`camel_len`].
    #[doc(hidden)]
    pub const fn camel_bytes<const N: usize>(ident: &str) -> [u8; N] {
        let bytes = ident.as_bytes();
        let mut at = without_raw_prefix(bytes);
        let mut out = [0; N];
        let mut len = 0;
        let mut upper = false;
        while at < bytes.len() {
            if bytes[at] == b'_' {
                upper = true;
            } else {
                out[len] = if upper { bytes[at].to_ascii_uppercase() } else { bytes[at] };
                len += 1;
                upper = false;
            }
            at += 1;
        }
        out
    }
}

/// The JSON name of a field: the one given, else the identifier in lowerCamelCase.
macro_rules! camel {
    ($ident:ident = $json:literal) => {
        $json
    };
    ($ident:ident) => {{
        const IDENT: &str = stringify!($ident);
        const BYTES: [u8; $crate::message::names::camel_len(IDENT)] =
            $crate::message::names::camel_bytes(IDENT);
        const NAME: &str = match std::str::from_utf8(&BYTES) {
            Ok(name) => name,
            Err(_) => panic!("an identifier is valid UTF-8"),
        };
        NAME
    }};
}

/// `honoured`, `pending` or `inert` as a value.
macro_rules! honoured {
    (honoured) => {
        $crate::message::Honoured::Yes
    };
    (pending) => {
        $crate::message::Honoured::NotYet
    };
    (inert) => {
        $crate::message::Honoured::Inert
    };
}

/// A list of rules.
macro_rules! rules {
    () => {
        &[]
    };
    ($($rule:expr),+) => {{
        #[allow(unused_imports, reason = "few definitions use every rule")]
        use $crate::message::Rule::*;
        &[$($rule),+]
    }};
}

/// Declares a message. Each field says `honoured` (Lateen acts on it), `pending` (it does not yet),
/// `inert` (nothing follows from it) or `oneof` (the field stands for a group declared with `oneof!`),
/// and then the rules for its values. A message marked `open` has fields that are none of a mesh's
/// business; rules about several of its fields stand in brackets behind its name.
macro_rules! message {
    ($(
        $(#[doc = $doc:literal])*
        pub struct $message:ident $(: $open:ident)? $([ $($message_rule:expr),+ $(,)? ])? {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident $(= $json:literal)? : $type:ty, $state:ident $(, $rule:expr)*;
            )*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $message {
            $( $(#[doc = $field_doc])* pub $field: $type, )*
        }

        impl $crate::message::Message for $message {
            fn descriptor() -> &'static $crate::message::MessageDescriptor {
                static DESCRIPTOR: $crate::message::MessageDescriptor =
                    $crate::message::MessageDescriptor {
                        name: stringify!($message),
                        doc: concat!($($doc, "\n",)*),
                        open: $crate::message::message!(@open $($open)?),
                        rules: $crate::message::rules!($($($message_rule),+)?),
                        members: &[$(
                            $crate::message::message!(
                                @member $state, ($field $(= $json)?), $type,
                                concat!($($field_doc, "\n",)*), [$($rule),*]
                            ),
                        )*],
                    };
                &DESCRIPTOR
            }

            #[allow(unused_variables, reason = "a message may have no fields")]
            fn set(
                &mut self,
                name: &'static str,
                node: &$crate::value::Node,
                decoder: &mut $crate::message::Decoder,
            ) {
                $( $crate::message::message!(
                    @set $state, self.$field, ($field $(= $json)?), $type, name, node, decoder
                ); )*
            }
        }

        impl $crate::message::Decode for $message {
            fn shape() -> $crate::message::Shape {
                $crate::message::Shape::Message(<$message as $crate::message::Message>::descriptor)
            }

            fn decode(
                node: &$crate::value::Node,
                decoder: &mut $crate::message::Decoder,
            ) -> Option<Self> {
                decoder.message(node)
            }
        }
    )*};
    (@open) => { false };
    (@open open) => { true };
    (@member oneof, ($($name:tt)+), $group:ty, $doc:expr, []) => {
        $crate::message::Member::OneOf {
            name: $crate::message::camel!($($name)+),
            fields: <$group as $crate::message::OneOf>::fields,
        }
    };
    (@member $state:ident, ($($name:tt)+), $type:ty, $doc:expr, [$($rule:expr),*]) => {
        $crate::message::Member::Field($crate::message::FieldDescriptor {
            name: $crate::message::camel!($($name)+),
            doc: $doc,
            shape: <$type as $crate::message::Decode>::shape,
            nullable: <$type as $crate::message::Decode>::IS_NULLABLE,
            rules: $crate::message::rules!($($rule),*),
            honoured: $crate::message::honoured!($state),
        })
    };
    (@set oneof, $place:expr, ($($name:tt)+), $type:ty, $key:ident, $node:ident, $decoder:ident) => {
        if <$type as $crate::message::OneOf>::fields().iter().any(|field| field.name == $key) {
            $decoder.one_of(&mut $place, $crate::message::camel!($($name)+), $key, $node);
            return;
        }
    };
    (@set $state:ident, $place:expr, ($($name:tt)+), $type:ty, $key:ident, $node:ident, $decoder:ident) => {
        if $key == $crate::message::camel!($($name)+) {
            if let Some(value) = <$type as $crate::message::Decode>::decode($node, $decoder) {
                $place = value;
            }
            return;
        }
    };
}

/// Declares a group of fields of which at most one may be set, as an enum of what they hold.
macro_rules! oneof {
    ($(
        $(#[doc = $doc:literal])*
        pub enum $group:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $variant:ident($type:ty) = $field:ident $(= $json:literal)?, $state:ident
                    $(, $rule:expr)*;
            )*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $group {
            $( $(#[doc = $field_doc])* $variant($type), )*
        }

        impl $crate::message::OneOf for Option<$group> {
            type Group = $group;

            fn fields() -> &'static [$crate::message::FieldDescriptor] {
                static FIELDS: &[$crate::message::FieldDescriptor] = &[$(
                    $crate::message::FieldDescriptor {
                        name: $crate::message::camel!($field $(= $json)?),
                        doc: concat!($($field_doc, "\n",)*),
                        shape: <$type as $crate::message::Decode>::shape,
                        nullable: false,
                        rules: $crate::message::rules!($($rule),*),
                        honoured: $crate::message::honoured!($state),
                    },
                )*];
                FIELDS
            }

            fn decode_member(
                name: &'static str,
                node: &$crate::value::Node,
                decoder: &mut $crate::message::Decoder,
            ) -> Option<$group> {
                $(
                    if name == $crate::message::camel!($field $(= $json)?) {
                        return <$type as $crate::message::Decode>::decode(node, decoder)
                            .map($group::$variant);
                    }
                )*
                None
            }
        }
    )*};
}

/// Declares an enumeration. The first value is the default, whose number is 0. Each value says
/// whether Lateen acts on it.
macro_rules! enumeration {
    ($(
        $(#[doc = $doc:literal])*
        pub enum $enum:ident {
            $(#[doc = $first_doc:literal])*
            $first:ident = $first_number:literal $first_name:literal, $first_state:ident;
            $(
                $(#[doc = $value_doc:literal])*
                $value:ident = $number:literal $name:literal, $state:ident;
            )*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $enum {
            $(#[doc = $first_doc])*
            #[default]
            $first = $first_number,
            $( $(#[doc = $value_doc])* $value = $number, )*
        }

        impl $enum {
            /// The name that users write.
            pub fn name(self) -> &'static str {
                match self {
                    $enum::$first => $first_name,
                    $( $enum::$value => $name, )*
                }
            }

            /// Its description.
            pub fn descriptor() -> &'static $crate::message::EnumDescriptor {
                static DESCRIPTOR: $crate::message::EnumDescriptor = $crate::message::EnumDescriptor {
                    name: stringify!($enum),
                    doc: concat!($($doc, "\n",)*),
                    values: &[
                        $crate::message::EnumValueDescriptor {
                            name: $first_name,
                            number: $first_number,
                            doc: concat!($($first_doc, "\n",)*),
                            honoured: $crate::message::honoured!($first_state),
                        },
                        $( $crate::message::EnumValueDescriptor {
                            name: $name,
                            number: $number,
                            doc: concat!($($value_doc, "\n",)*),
                            honoured: $crate::message::honoured!($state),
                        }, )*
                    ],
                };
                &DESCRIPTOR
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl $crate::message::Decode for $enum {
            fn shape() -> $crate::message::Shape {
                $crate::message::Shape::Enum($enum::descriptor)
            }

            fn decode(
                node: &$crate::value::Node,
                decoder: &mut $crate::message::Decoder,
            ) -> Option<Self> {
                const VALUES: &[$enum] = &[$enum::$first, $( $enum::$value, )*];
                decoder.enumeration(node, $enum::descriptor()).map(|index| VALUES[index])
            }
        }
    )*};
}

pub(crate) use {camel, enumeration, honoured, message, oneof, rules};
