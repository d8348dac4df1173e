//! What there is to say about objects together.

use crate::mesh::Mesh;

#[test]
fn everything_is_said_once_with_object_and_field() {
    let mesh = Mesh::new(
        "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  gateways: [mesh, nowhere]
  http:
  - match: [{uri: {prefix: /v1}}]
    route: [{destination: {host: web, subset: v1}}]
  - route: [{destination: {host: nobody}}]
  - match: [{uri: {prefix: /never}}]
    route: [{destination: {host: web}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web-too, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: gone, namespace: shop}
spec: {host: gone.com}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: typo, namespace: shop}
spec: {selector: {matchLabels: {app: wbe}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: fine, namespace: shop}
spec: {selector: {matchLabels: {app: web}}}
",
    );
    let said: Vec<String> = mesh
        .compiler
        .analyze()
        .iter()
        .map(|each| {
            let object = each.object.as_ref().unwrap();
            format!("{object} {} {}: {}", each.field, each.code, each.message)
        })
        .collect();
    insta::assert_debug_snapshot!(said);
}
