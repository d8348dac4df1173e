//! MeshConfig: the settings of the mesh, which Istio keeps in the ConfigMap `istio`, key `mesh`.

mod defaults;
mod extension_provider;
mod networks;
mod private_key_provider;
mod proxy_config;
mod readiness_probe;
mod settings;
mod tracing;

pub use extension_provider::*;
pub use networks::*;
pub use private_key_provider::*;
pub use proxy_config::*;
pub use readiness_probe::*;
pub use settings::*;
pub use tracing::*;
