//! The objects that users write: their types, how they are read, checked and accounted for.
//!
//! This is the front of Lateen. Text goes in, objects with diagnostics come out:
//!
//! ```
//! let parsed = lateen_api::parse(
//!     "
//! apiVersion: networking.istio.io/v1
//! kind: VirtualService
//! metadata: {name: reviews, namespace: default}
//! spec:
//!   hosts: [reviews]
//!   http:
//!   - route:
//!     - destination: {host: reviews, subset: v1}
//!       weihgt: 90
//! ",
//!     "reviews.yaml",
//! );
//! assert_eq!(parsed.objects[0].reference().to_string(), "VirtualService default/reviews");
//! assert_eq!(
//!     parsed.diagnostics[0].to_string(),
//!     "reviews.yaml:10:7: warning[unknown-field]: VirtualService default/reviews: \
//!      spec.http[0].route[0].weihgt: `weihgt` is not a field of HttpRouteDestination; \
//!      did you mean `weight`?",
//! );
//! ```
//!
//! - **Types.** [`networking`], [`security`], [`mesh_config`] and [`kubernetes`] declare every
//!   field of every kind, once. [`message`] says how: from a declaration follow the Rust type, the
//!   decoder and a description.
//! - **Reading.** [`parse()`] splits a text into documents ([`yaml`]), decodes each by the rules of
//!   protobuf's JSON form, and validates it as Istio's admission webhook does. What is wrong is a
//!   [`Diagnostic`] with object, field, line and column; an object with an error is rejected alone.
//!   [`parse_json()`] does the same with what the API server gives, and [`admit()`] with what it asks
//!   its validating webhooks about.
//! - **The account of fields.** Each field is marked as honoured or not honoured yet. [`account()`]
//!   lists all of them; [`Object::not_honoured`] those that one object uses.
//! - **Meaning.** What belongs to the objects and not to those who compile them: [`host`] names and
//!   patterns, label [`selector`]s, [`export_to`], declared [`protocol`]s, [`duration`]s.

pub mod account;
pub mod admission;
pub mod crd;
pub mod diagnostic;
pub mod duration;
pub mod export_to;
pub mod extensions;
pub mod host;
mod json;
pub mod kind;
pub mod kubernetes;
pub mod mesh_config;
pub mod message;
pub mod networking;
pub mod object;
pub mod parse;
pub mod path;
pub mod protocol;
pub mod security;
pub mod selector;
pub mod status;
pub mod telemetry;
mod validate;
pub mod value;
pub mod yaml;

pub use account::{FieldAccount, account};
pub use admission::{Verdict, admit};
pub use diagnostic::{Code, Diagnostic, FieldUse, Severity};
pub use duration::Duration;
pub use kind::Kind;
pub use mesh_config::MeshConfig;
pub use object::{Object, ObjectMeta, ObjectRef, Origin, Spec};
pub use parse::{Parsed, ParsedMeshConfig, parse, parse_json, parse_mesh_config, parse_node};
pub use protocol::Protocol;
pub use value::Position;
