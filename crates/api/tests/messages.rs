//! What users get to read, as a whole.

#![cfg(test)]

use insta::assert_snapshot;
use lateen_api::parse;

fn said(text: &str) -> String {
    let lines = parse(text, "mesh.yaml").diagnostics;
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_virtual_service_with_many_faults() {
    assert_snapshot!(said(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews, '*']
  gateways: [mesh, ns/*]
  http:
  - match:
    - uri: {regex: '(a'}
      headers:
        'bad name': {exact: x}
    retries: {attempts: 0, retryOn: 5xx,whatever}
    route:
    - destination: {host: '*'}
      weight: -1
    - destination: {host: reviews, port: {number: 0}}
  - redirect: {redirectCode: 200}
    directResponse: {status: 99}
  - mirror: {host: copies}
    timeout: 3ns
    route: [{destination: {host: reviews}}]
  tls:
  - match: [{sniHosts: [other.example.com]}]
"
    ));
}

#[test]
fn policies_and_entries() {
    assert_snapshot!(said(
        "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: n, annotations: {istio.io/dry-run: maybe}}
spec:
  action: CUSTOM
  rules:
  - from: [{source: {ipBlocks: [10.0.0.0/33]}}, {source: {}}]
    to: [{operation: {ports: [http], paths: ['/a/{**}/{*}']}}]
    when: [{key: source.colour, values: [red]}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a, namespace: n}
spec: {portLevelMtls: {99999: {mode: STRIKT}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: n}
spec:
  hosts: ['*']
  resolution: DYNAMIC_DNS
  ports: [{number: 0, name: tcp, protocol: TCP}]
  endpoints: [{address: unix://a}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a, namespace: n}
spec:
  servers:
  - {hosts: [a.*.b], port: {number: 443, name: https, protocol: HTTPS}}
  - {hosts: ['*'], port: {number: 444, name: https, protocol: HTTPS}, tls: {mode: MUTUAL}}
  - {hosts: ['*'], port: {number: 80, name: x, protocol: SMTP}, tls: {mode: ISTIO_MUTUAL, credentialName: x}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: a, namespace: n}
spec: {egress: [{hosts: [reviews, A/b, '~/*']}, {hosts: ['*/*a.b']}]}
"
    ));
}
