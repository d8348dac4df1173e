//! What there is to say about objects together.

use lateen_api::kind::Kind;

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

/// Follows what there is to say, and gives it as lines.
#[derive(Default)]
struct Findings(std::collections::BTreeMap<String, Vec<String>>);

impl Findings {
    fn find(&mut self, mesh: &mut Mesh, selections: bool) -> Vec<String> {
        loop {
            let found = mesh.compiler.find(2, selections);
            for (object, said) in found.changed {
                let lines = said
                    .iter()
                    .map(|it| format!("{object} {} {}: {}", it.field, it.code, it.message));
                self.0.insert(object.to_string(), lines.collect());
            }
            if !found.is_more {
                return self.0.values().flatten().cloned().collect();
            }
        }
    }
}

#[test]
fn what_is_found_follows_changes() {
    const ROUTE: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}]}]}
";
    const RULE: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
";
    const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
";
    const BOUND: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bound, namespace: shop}
spec: {hosts: [web.example.com], gateways: [front], http: [{route: [{destination: {host: web, port: {number: 81}}}]}]}
";
    const GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  selector: {istio: front}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: SIMPLE, credentialName: front-cert}
    hosts: ['*']
";
    const PROXY: &str = "
apiVersion: v1
kind: Pod
metadata: {name: front-1, namespace: edge, labels: {istio: front}}
";
    const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: front-cert, namespace: edge}
stringData: {tls.crt: a, tls.key: b}
";
    let unknown = "VirtualService shop/web spec.http[0].route[0].destination unknown-host: \
         no service web.shop.svc.cluster.local is known in namespace shop";
    let no_rule = "DestinationRule shop/web spec.host unknown-host: \
         no service web.shop.svc.cluster.local is known";
    let no_subset = "VirtualService shop/web spec.http[0].route[0].destination unknown-subset: \
         no DestinationRule for web.shop.svc.cluster.local has a subset v1";
    let no_port = "VirtualService shop/bound spec.http[0].route[0].destination unknown-port: \
         web.shop.svc.cluster.local has no port 81";
    let no_gateway = "VirtualService shop/bound spec.gateways[0] unknown-gateway: there is no Gateway shop/front";
    let nobody =
        "Gateway shop/front spec selects-nothing: no workload of the mesh has these labels";
    let no_secret = "Gateway shop/front spec.servers[0].tls.credentialName unknown-secret: \
         there is no Secret edge/front-cert with a certificate; handshakes fail";
    let mut mesh = Mesh::new(ROUTE);
    let mut findings = Findings::default();
    assert_eq!(findings.find(&mut mesh, true), [unknown]);
    for (what, text, selections, expected) in [
        ("a rule for what is not there", RULE, true, vec![no_rule, unknown]),
        ("a service makes good both", SERVICE, true, vec![]),
        ("a route of a gateway that is not there", BOUND, true, vec![no_gateway, no_port]),
        ("the gateway, for nobody", GATEWAY, true, vec![nobody, no_port]),
        ("a workload, whom nobody asks for yet", PROXY, false, vec![nobody, no_port]),
        ("the workload, asked for", "", true, vec![no_secret, no_port]),
        ("its secret", SECRET, false, vec![no_port]),
    ] {
        mesh.apply(text);
        assert_eq!(findings.find(&mut mesh, selections), expected, "{what}");
    }
    mesh.remove(Kind::DestinationRule, "shop", "web");
    assert_eq!(findings.find(&mut mesh, false), [no_port, no_subset]);
    mesh.remove(Kind::VirtualService, "shop", "bound");
    assert_eq!(findings.find(&mut mesh, false), [no_subset]);
    // Nothing concerns anything that was found.
    mesh.apply("{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop}, spec: {ports: [{port: 80}]}}");
    assert!(mesh.compiler.find(100, true).changed.is_empty());
    // Whoever begins anew finds the same.
    mesh.compiler.stop_finding();
    assert_eq!(Findings::default().find(&mut mesh, true), [no_subset]);
}
