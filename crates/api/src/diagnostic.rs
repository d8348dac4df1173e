//! What Lateen has to say about what users wrote.

use std::fmt;
use std::sync::Arc;

use crate::object::ObjectRef;
use crate::value::Position;

/// How serious a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The object is refused; its last good version keeps serving.
    Error,
    /// The object is taken, but probably does not do what its author expects.
    Warning,
    /// Worth knowing.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        })
    }
}

macro_rules! codes {
    ($( $(#[doc = $doc:literal])* $code:ident = $name:literal; )*) => {
        /// What a diagnostic is about, stable across versions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $( $(#[doc = $doc])* $code, )*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$( Code::$code, )*];

            /// The code in kebab-case, as it is printed and written in scripts.
            pub fn as_str(self) -> &'static str {
                match self { $( Code::$code => $name, )* }
            }

            /// What it means.
            pub fn doc(self) -> &'static str {
                match self { $( Code::$code => concat!($($doc, "\n",)*), )* }
            }
        }
    };
}

codes! {
    /// The text is not YAML or JSON.
    Syntax = "syntax";
    /// The document is not an object: no `apiVersion`, `kind` or name.
    NotAnObject = "not-an-object";
    /// The object's kind is none of the mesh's business.
    ForeignKind = "foreign-kind";
    /// The object's kind belongs to Istio's language, but Lateen does not act on it yet.
    KindNotHonoured = "kind-not-honoured";
    /// The kind is known, but not in this API version.
    UnknownVersion = "unknown-version";
    /// A field that the kind does not have.
    UnknownField = "unknown-field";
    /// A field or value that Lateen reads but does not act on yet.
    FieldNotHonoured = "field-not-honoured";
    /// A key or field is set twice.
    DuplicateField = "duplicate-field";
    /// Fields that exclude each other are set together.
    ConflictingFields = "conflicting-fields";
    /// A field that must be set is not.
    MissingField = "missing-field";
    /// A value that the field cannot have.
    BadValue = "bad-value";
    /// Values that are fine alone but not together.
    Inconsistent = "inconsistent";
    /// A field that works but should no longer be used.
    Deprecated = "deprecated";
    /// Something that has no effect as it is written.
    NoEffect = "no-effect";
    /// A regular expression that does not compile.
    BadRegex = "bad-regex";
    /// A rule sends to a host that is not known where it applies.
    UnknownHost = "unknown-host";
    /// A rule sends to a port that the service does not have.
    UnknownPort = "unknown-port";
    /// A rule sends to a subset that no DestinationRule defines.
    UnknownSubset = "unknown-subset";
    /// A VirtualService is for a gateway that is not there.
    UnknownGateway = "unknown-gateway";
    /// A Gateway names a Secret that is not there, or holds no certificate.
    UnknownSecret = "unknown-secret";
    /// Two objects claim a host, and only one can have it.
    ConflictingHosts = "conflicting-hosts";
    /// Two servers of Gateways claim a port, and only one can have it.
    ConflictingServers = "conflicting-servers";
    /// A rule that comes after one that takes everything.
    UnreachableRule = "unreachable-rule";
    /// A selector that selects no workload.
    SelectsNothing = "selects-nothing";
    /// The same object is defined twice, in one text or in two.
    DuplicateObject = "duplicate-object";
    /// A file or directory that cannot be read or watched.
    Unreadable = "unreadable";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to say about an object or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How serious it is.
    pub severity: Severity,
    /// What it is about.
    pub code: Code,
    /// The object, unless the text could not be read far enough to know it.
    pub object: Option<ObjectRef>,
    /// The field, `spec.http[0].route[1].weight`; empty for the object as a whole.
    pub field: String,
    /// The file, or whatever names the place the text came from.
    pub file: Arc<str>,
    /// Line, from 1; 0 when not known.
    pub line: u32,
    /// Column in characters, from 1; 0 when not known.
    pub column: u32,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}[{}]: ", self.severity, self.code)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// A diagnostic before it is known which object it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// What it is about.
    pub code: Code,
    /// The field.
    pub field: String,
    /// The place, where it is more precise than the field's own.
    pub position: Option<Position>,
    /// What is wrong.
    pub message: String,
}

/// A field of one object that Lateen does not act on yet, and that the object sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldUse {
    /// The field, with indices.
    pub path: String,
    /// The value, where the field itself is honoured but not this value of it.
    pub value: Option<String>,
    /// Where it is written, if known.
    pub position: Option<Position>,
}

impl FieldUse {
    /// The field without indices, and `=value` where only the value is not honoured: what the
    /// account of fields lists.
    pub fn pattern(&self) -> String {
        let path = crate::path::pattern(&self.path);
        match &self.value {
            Some(value) => format!("{path}={value}"),
            None => path,
        }
    }

    /// What is said about it.
    pub(crate) fn into_finding(self) -> Finding {
        let (severity, code, message) = match self.value {
            Some(kind) if self.path == "kind" && kind == "RequestAuthentication" => (
                Severity::Warning,
                Code::KindNotHonoured,
                "Lateen cannot check tokens yet: every request that has one is refused".to_owned(),
            ),
            Some(kind) if self.path == "kind" => (
                Severity::Warning,
                Code::KindNotHonoured,
                format!("Lateen does not act on {kind} yet"),
            ),
            Some(value) => (
                Severity::Warning,
                Code::FieldNotHonoured,
                format!("Lateen does not act on the value `{value}` yet"),
            ),
            None => (
                Severity::Warning,
                Code::FieldNotHonoured,
                "Lateen does not act on this field yet".to_owned(),
            ),
        };
        Finding { severity, code, field: self.path, position: self.position, message }
    }
}
