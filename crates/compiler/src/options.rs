//! What the compiler must know beside the objects.

/// What holds for one compiler, from its start to its end.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything runs on one machine: workloads and services have addresses in 127.0.0.0/8 (see [`crate::local`]).
    pub local: bool,
    /// The control plane's revision. Objects labelled with another `istio.io/rev` are left alone;
    /// empty sees all.
    pub revision: String,
    /// Name of the cluster, the first part of a workload's UID.
    pub cluster_id: String,
    /// Network of workloads that do not name their own.
    pub network: String,
    /// What host names of Kubernetes services end in.
    pub cluster_domain: String,
    /// Where the mesh's own configuration is read from until MeshConfig says otherwise.
    pub root_namespace: String,
    /// MeshConfig's `meshId`, for peer metadata; empty: the trust domain.
    pub mesh_id: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            local: false,
            revision: String::new(),
            cluster_id: "Kubernetes".to_owned(),
            network: String::new(),
            cluster_domain: "cluster.local".to_owned(),
            root_namespace: "istio-system".to_owned(),
            mesh_id: String::new(),
        }
    }
}
