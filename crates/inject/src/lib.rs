//! Sidecar injection: whether a pod is injected, and what the injected pod is.
//!
//! Pure: objects in, objects out. The webhook of the control plane, `lateen inject` and the tests call
//! the same three functions:
//!
//! - [`webhooks`]: which webhook the API server calls for a pod, by labels of namespace and pod;
//! - [`decide`]: whether the pod is injected once a webhook was called;
//! - [`inject`]: the injected pod, with warnings about what it asks for and does not get, or the
//!   reason why it cannot be.
//!
//! [`Settings`] hold what that depends on: the mesh's settings, the injector's configuration and the
//! chart's values (Istio's config maps `istio` and `istio-sidecar-injector`), and facts of the cluster.
//!
//! A pod is made by merging templates into it as Istio does: `sidecar` and `gateway` are built in
//! (`template/`), others are their user's (`custom`); then what the user wrote of an injected
//! container goes over it (`overrides`), probes and metrics are led through the proxy (`probes`,
//! `prometheus`), and the containers are put in order (`order`). What was injected stands in the pod's
//! annotations, and a pod that has them is made the one before at first (`status`), so that injecting
//! twice is the same as once.
//!
//! # What the containers expect
//! The image's entry point is `lateen-proxy`. `istio-init` runs `capture apply`, `istio-validation`
//! runs `capture validate`, both with the flags of Istio's redirect tool. `istio-proxy` has one argument,
//! `sidecar` or `router`: Istio's variables (`PROXY_CONFIG`, `ISTIO_META_…`, `POD_NAME`, …) tell it
//! everything else, with `LATEEN_ENGINE` (`native`, `envoy`), `LATEEN_LOG` and `LATEEN_ENVOY_LOG_LEVEL` in
//! the place of Istio's other arguments. Its hooks run `lateen-proxy drain` and `lateen-proxy wait`.

mod custom;
mod decide;
mod error;
mod inject;
mod json;
mod merge;
pub mod names;
pub mod object;
mod order;
mod overrides;
mod owner;
pub mod path;
mod probes;
mod prometheus;
mod setting;
pub mod settings;
mod status;
mod template;
mod traffic;
mod warnings;

pub use decide::{Decision, Labels, Reason, Webhook, decide, webhooks};
pub use error::Error;
pub use inject::{Injection, Request, inject};
pub use json::{from_tree, from_yaml};
pub use owner::Owner;
pub use settings::{Facts, Settings, SettingsError};
