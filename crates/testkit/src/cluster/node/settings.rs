//! What the node's programs are told. `shared/reference/test-cluster.md` has the reasons of what
//! looks odd: a small machine without swap limits, systemd or an image registry.

use std::path::Path;

use super::PAUSE;
use super::namespaces::Slot;

/// containerd's configuration.
pub fn containerd(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper"]

[grpc]
address = "{folder}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    )
}

/// The pods' network: a bridge on the node.
pub fn bridge(slot: Slot) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "bridge",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": slot.pods() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
    .to_string()
}

/// The kubelet's configuration; JSON is YAML.
pub fn kubelet(folder: &Path, slot: Slot) -> String {
    serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": folder.join("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": format!("unix://{}/containerd.sock", folder.display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", slot.name()),
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "evictionHard": { "nodefs.available": "1%", "imagefs.available": "1%" },
        // No registry would give them back.
        "imageGCHighThresholdPercent": 100,
        "clusterDNS": [slot.service(10)],
        "clusterDomain": "cluster.local",
        "resolvConf": folder.join("resolv.conf"),
    })
    .to_string()
}

/// CoreDNS's configuration: the cluster's names, and none beside.
pub fn dns(kubeconfig: &Path, slot: Slot) -> String {
    format!(
        ".:53 {{\n    bind {}\n    errors\n    kubernetes cluster.local in-addr.arpa {{\n        \
         kubeconfig {}\n        pods insecure\n        ttl 5\n    }}\n}}\n",
        slot.node(),
        kubeconfig.display()
    )
}

/// The service by which pods find CoreDNS, which is no pod.
pub fn dns_service(slot: Slot) -> String {
    let port = |protocol: &str| {
        serde_json::json!({ "name": format!("dns-{protocol}").to_lowercase(), "port": 53,
            "protocol": protocol })
    };
    let ports = [port("UDP"), port("TCP")];
    let service = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system", "labels": { "k8s-app": "kube-dns" },
        },
        "spec": { "clusterIP": slot.service(10), "ports": ports },
    });
    let endpoints = serde_json::json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system",
            "labels": { "kubernetes.io/service-name": "kube-dns" },
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{ "addresses": [slot.node()], "conditions": { "ready": true } }],
    });
    format!("{service}\n---\n{endpoints}\n")
}
