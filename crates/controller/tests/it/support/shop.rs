//! The mesh of the tests: namespace `shop` with three services, namespace `front` with a gateway.

/// A service of one port with pods behind it.
pub fn service(namespace: &str, name: &str, pods: &[(&str, &str)]) -> String {
    let mut text = format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  clusterIP: 10.96.0.{last}
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: {namespace}
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints:
",
        last = 1 + name.bytes().fold(0_u8, u8::wrapping_add) % 250,
    );
    for (pod, address) in pods {
        text.push_str(&format!(
            "- addresses: [{address}]
  conditions: {{ready: true}}
  targetRef: {{kind: Pod, name: {pod}, namespace: {namespace}}}
"
        ));
    }
    for (pod, address) in pods {
        text.push_str(&format!(
            "---
apiVersion: v1
kind: Pod
metadata:
  name: {pod}
  namespace: {namespace}
  labels: {{app: {name}, security.istio.io/tlsMode: istio}}
spec: {{serviceAccountName: {name}}}
status: {{podIP: {address}, podIPs: [{{ip: {address}}}], phase: Running}}
"
        ));
    }
    text
}

/// A VirtualService of one route to a host.
pub fn virtual_service(name: &str, host: &str, destination: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{host}]
  http: [{{route: [{{destination: {{host: {destination}}}}}]}}]
"
    )
}

/// A gateway's pod, and an authorization policy of the root namespace.
pub const FRONT: &str = "
apiVersion: v1
kind: Pod
metadata: {name: gateway-1, namespace: front, labels: {istio: ingress}}
spec: {serviceAccountName: gateway}
status: {podIP: 10.1.9.1, podIPs: [{ip: 10.1.9.1}], phase: Running}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: front}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: 8080, name: http, protocol: HTTP}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: public, namespace: front}
spec:
  hosts: [shop.example.com]
  gateways: [public]
  http: [{route: [{destination: {host: web.shop.svc.cluster.local}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: istio-system}
spec:
  action: DENY
  rules: [{to: [{operation: {paths: [/admin]}}]}]
";

/// The files of the mesh.
pub fn files() -> Vec<(&'static str, String)> {
    vec![
        ("web.yaml", service("shop", "web", &[("web-1", "10.1.0.1"), ("web-2", "10.1.0.2")])),
        ("api.yaml", service("shop", "api", &[("api-1", "10.1.1.1")])),
        ("db.yaml", service("shop", "db", &[("db-1", "10.1.2.1")])),
        ("front.yaml", FRONT.to_owned()),
    ]
}

/// Host of a service of `shop`.
pub fn host(service: &str) -> String {
    format!("{service}.shop.svc.cluster.local")
}

/// Subscription to it.
pub fn subscription(service: &str) -> String {
    format!("host/{}", host(service))
}
