//! ProxyConfig: settings of workloads' proxies, as an object of its own.

use std::collections::BTreeMap;

use crate::mesh_config::ProxyImage;
use crate::message::message;
use crate::security::LabelSelector;

message! {
    /// Settings of workloads' proxies, over those of the mesh. They count when a proxy starts.
    // The injector acts on them; nothing of them is compiled, which is what `honoured` counts.
    pub struct ProxyConfig {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, inert;
        /// How many workers; 0: one for each core. Not set: as the CPU limit says.
        concurrency: Option<i32>, inert, Minimum(0);
        /// Environment variables of the proxy.
        environment_variables: BTreeMap<String, String>, inert, Each(&[MaxLength(2048)]);
        /// Which image.
        image: Option<ProxyImage>, pending;
    }
}
