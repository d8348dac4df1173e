//! The compiler: objects that users write in, the mesh model out, incrementally.
//!
//! It works in two stages. **Lower** looks at each object alone and makes *nodes* of it, which are filed in
//! the store. **Link** makes one resource of the mesh model for one *scope*, on demand, from the nodes that it
//! asks for. The store answers a fixed list of questions (the *query keys*) and nothing else; which were
//! asked is noted with the resource. A change of an object touches the keys whose answers it changes; the
//! resources that read one of them are stale, and are linked again when somebody wants them. So a change costs as much
//! as what it affects, whatever the size of the mesh.
//!
//! ```text
//!  Object ─ lower ─→ Fact ─→ store ─ Key ─→ memo: which outputs are stale
//!                              ↑
//!  Client ─→ scope ─→ link ── Query ──→ Output (bytes, references, diagnostics)
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use lateen_compiler::{Change, Client, Compiler, Options};
//! use lateen_mesh::name::Name;
//!
//! let text = "
//! apiVersion: v1
//! kind: Service
//! metadata: {name: reviews, namespace: shop}
//! spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 9080}]}
//! ";
//! let parsed = lateen_api::parse(text, "reviews.yaml");
//! let mut compiler = Compiler::new(Options::default());
//! compiler.apply(parsed.objects.into_iter().map(|object| Change::Upsert(Arc::new(object))));
//!
//! let client =
//!     Client { namespace: "shop".into(), name: "web".into(), ..Client::default() };
//! let scope = compiler.scope(&client);
//! let routes = compiler.output(scope, &Name::Routes("reviews.shop.svc.cluster.local".into()));
//! assert_eq!(
//!     routes.unwrap().references[0].to_string(),
//!     "destination/reviews.shop.svc.cluster.local/9080/",
//! );
//! ```
//!
//! - `findings`: what is wrong with objects as they work together, as they change; `analyze`: the same for
//!   everybody at once.
//! - [`Compiler`]: the whole of it; [`Options`] what it is made with.
//! - [`change`]: [`Change`]s in; [`Changes`] (what became stale) and [`Output`]s out.
//! - [`client`]: who asks; [`scope`]: which of them see the same.
//! - [`local`]: addresses where everything runs on one machine.

mod analyze;
pub mod change;
pub mod client;
mod compiler;
mod findings;
mod key;
mod link;
pub mod local;
mod lower;
mod memo;
mod node;
mod options;
mod perspective;
pub mod scope;
mod store;

pub use change::{Audience, Change, Changes, Counters, Output};
pub use client::{Client, Role};
pub use compiler::Compiler;
pub use findings::Found;
pub use options::Options;
pub use scope::ScopeId;
