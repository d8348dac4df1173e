//! YAML of a mesh of any size.

use std::fmt::Write as _;

/// How large a mesh is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Services, spread evenly over the namespaces.
    pub services: usize,
    /// Endpoints of each.
    pub endpoints: usize,
    /// Namespaces.
    pub namespaces: usize,
}

impl Size {
    /// The namespace of a service.
    #[must_use]
    pub fn namespace(&self, service: usize) -> String {
        namespace(service % self.namespaces)
    }

    /// The host of a service.
    #[must_use]
    pub fn host(&self, service: usize) -> String {
        format!("service-{service}.{}.svc.cluster.local", self.namespace(service))
    }

    /// The mesh: settings, namespaces, services and endpoints, without pods.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = String::from(
            "apiVersion: v1
kind: ConfigMap
metadata:
  name: istio
  namespace: istio-system
data:
  mesh: |
    accessLogFile: /dev/null
",
        );
        for number in 0..self.namespaces {
            let name = namespace(number);
            let _ =
                write!(text, "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
        }
        for service in 0..self.services {
            text.push_str(&self.service(service));
        }
        text
    }

    fn service(&self, number: usize) -> String {
        let namespace = self.namespace(number);
        let cluster_ip = format!("10.96.{}.{}", number / 250, number % 250 + 1);
        format!(
            "---
apiVersion: v1
kind: Service
metadata:
  name: service-{number}
  namespace: {namespace}
spec:
  clusterIP: {cluster_ip}
  ports:
    - {{name: http, port: 80, targetPort: 8080}}
"
        )
    }

    /// The endpoints of a service; `ready` says which of them are.
    #[must_use]
    pub fn endpoints(&self, service: usize, ready: impl Fn(usize) -> bool) -> String {
        let namespace = self.namespace(service);
        let mut text = format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: service-{service}-1
  namespace: {namespace}
  labels: {{kubernetes.io/service-name: service-{service}}}
addressType: IPv4
ports:
  - {{name: http, port: 8080, protocol: TCP}}
endpoints:
"
        );
        for endpoint in 0..self.endpoints {
            let number = service * self.endpoints + endpoint;
            let address =
                format!("10.{}.{}.{}", 128 + number / 62_500, number / 250 % 250, number % 250 + 1);
            let ready = ready(endpoint);
            let _ =
                writeln!(text, "  - {{addresses: [{address}], conditions: {{ready: {ready}}}}}");
        }
        text
    }

    /// A VirtualService for a service, with one rule that sets a header to `value`.
    #[must_use]
    pub fn route(&self, service: usize, value: &str) -> String {
        let (host, namespace) = (self.host(service), self.namespace(service));
        format!(
            "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: service-{service}
  namespace: {namespace}
spec:
  hosts: [{host}]
  http:
    - name: only
      headers: {{request: {{set: {{x-edited: {value}}}}}}}
      route:
        - destination: {{host: {host}, port: {{number: 80}}}}
"
        )
    }

    /// A Sidecar that lets the workloads of a namespace see no services but its own.
    #[must_use]
    pub fn secluded(namespace: &str) -> String {
        format!(
            "---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: default
  namespace: {namespace}
spec:
  egress:
    - hosts: [\"./*\"]
"
        )
    }
}

/// The name of a namespace.
#[must_use]
pub fn namespace(number: usize) -> String {
    format!("namespace-{number}")
}
