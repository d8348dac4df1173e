//! YAML of workloads and services, as Kubernetes would have it.

use std::fmt::Write as _;

/// A namespace, the mesh's settings, and mutual TLS for everybody.
#[must_use]
pub fn mesh(settings: &str) -> String {
    let settings: String = settings.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1
kind: Namespace
metadata:
  name: istio-system
---
apiVersion: v1
kind: Namespace
metadata:
  name: test
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: istio
  namespace: istio-system
data:
  mesh: |
    accessLogFile: /dev/stdout
    accessLogEncoding: JSON
{settings}---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: istio-system
spec:
  mtls:
    mode: STRICT
"
    )
}

/// A pod of namespace `test` with a sidecar, its service account named as its `app`.
#[must_use]
pub fn pod(name: &str, app: &str, version: &str, address: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: test
  labels:
    app: {app}
    version: {version}
    security.istio.io/tlsMode: istio
spec:
  serviceAccountName: {app}
  containers:
    - name: {app}
      image: {app}
status:
  phase: Running
  podIP: {address}
---
"
    )
}

/// A service of namespace `test` with one port, and its endpoints: (pod, address, ready).
#[must_use]
pub fn service(
    name: &str,
    cluster_ip: &str,
    port_name: &str,
    (port, target): (u16, u16),
    endpoints: &[(&str, &str, bool)],
) -> String {
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: test
spec:
  clusterIP: {cluster_ip}
  selector:
    app: {name}
  ports:
    - name: {port_name}
      port: {port}
      targetPort: {target}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: test
  labels:
    kubernetes.io/service-name: {name}
addressType: IPv4
ports:
  - name: {port_name}
    port: {target}
    protocol: TCP
endpoints:
"
    );
    for (pod, address, ready) in endpoints {
        let _ = write!(
            text,
            "  - addresses: [{address}]
    conditions:
      ready: {ready}
    targetRef:
      kind: Pod
      name: {pod}
      namespace: test
"
        );
    }
    text.push_str("---\n");
    text
}
