//! Which workloads are gateways.

use lateen_compiler::{Options, Role};

use crate::mesh::Mesh;

const MESH: &str = "
apiVersion: v1
kind: Pod
metadata: {name: by-labels, namespace: edge, labels: {istio: ingressgateway}}
---
apiVersion: v1
kind: Pod
metadata: {name: by-service, namespace: edge, labels: {app: front}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: edge}
spec: {selector: {app: front}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: labelled, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: annotated
  namespace: edge
  annotations: {internal.istio.io/gateway-service: front.edge.svc.cluster.local}
spec:
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: everywhere, namespace: shop}
spec:
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
";

#[test]
fn gateways_are_what_a_gateway_selects() {
    let mesh = Mesh::with(Options { local: true, ..Options::default() }, MESH);
    for (namespace, name, role) in [
        ("edge", "by-labels", Some(Role::Gateway)),
        ("edge", "by-service", Some(Role::Gateway)),
        ("shop", "web", Some(Role::Sidecar)),
        ("shop", "by-labels", None),
        ("shop", "nobody", None),
    ] {
        assert_eq!(mesh.compiler.role(namespace, name), role, "{namespace}/{name}");
    }
}
