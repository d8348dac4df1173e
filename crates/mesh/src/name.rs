//! Names of resources on the wire.
//!
//! A name is made from what users named (hosts, namespaces, ports), never from a position in a
//! list. `/` parts the pieces; hosts and Kubernetes names cannot contain it.

use std::fmt;

/// Name of a resource, or of what can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// `cut`: closes a response.
    Cut,
    /// `settings`: of the scope.
    Settings,
    /// `directory/<namespace>/<bucket>`: a slice of the scope's directory.
    Directory {
        /// Namespace of the services in it.
        namespace: String,
        /// Which of the namespace's buckets.
        bucket: u32,
    },
    /// `host/<host>`: no resource, but what a proxy subscribes to: the closure of a directory
    /// entry.
    Host(String),
    /// `routes/<host>`: routes of a directory entry.
    Routes(String),
    /// `destination/<host>/<port>/<subset>`.
    Destination {
        /// Host of the service.
        host: String,
        /// Port of the service.
        port: u16,
        /// Subset of a DestinationRule; empty: all endpoints.
        subset: String,
    },
    /// `endpoints/<host>/<port>/<bucket>`.
    Endpoints {
        /// Host of the service.
        host: String,
        /// Port of the service.
        port: u16,
        /// Which of the port's buckets.
        bucket: u32,
    },
    /// `inbound/<namespace>/<workload>`.
    Inbound {
        /// Namespace of the workload.
        namespace: String,
        /// Name of the workload (of the pod).
        name: String,
    },
    /// `policy/<namespace>/<name>`: an authorization policy.
    Policy {
        /// Namespace of the policy.
        namespace: String,
        /// Name of the policy.
        name: String,
    },
    /// `gateway/<port>`: a listener of a gateway.
    Gateway(u16),
    /// `gateway/<port>/<server>/<host>`: routes of one virtual host of a gateway's listener.
    GatewayRoutes {
        /// Port of the listener.
        port: u16,
        /// `http` for the table that plain HTTP servers share, else the server's name.
        server: String,
        /// Host of the virtual host, `*` included.
        host: String,
    },
    /// `secret/<namespace>/<name>`.
    Secret {
        /// Namespace of the secret.
        namespace: String,
        /// Name of the secret.
        name: String,
    },
}

impl Name {
    /// Reads a name; `None` if it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let kind = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let owned = |index: usize| rest.get(index).map(|part| (*part).to_owned());
        Some(match (kind, rest.len()) {
            ("cut", 0) => Self::Cut,
            ("settings", 0) => Self::Settings,
            ("directory", 2) => {
                Self::Directory { namespace: owned(0)?, bucket: rest[1].parse().ok()? }
            }
            ("host", 1) => Self::Host(owned(0)?),
            ("routes", 1) => Self::Routes(owned(0)?),
            ("destination", 3) => Self::Destination {
                host: owned(0)?,
                port: rest[1].parse().ok()?,
                subset: owned(2)?,
            },
            ("endpoints", 3) => Self::Endpoints {
                host: owned(0)?,
                port: rest[1].parse().ok()?,
                bucket: rest[2].parse().ok()?,
            },
            ("inbound", 2) => Self::Inbound { namespace: owned(0)?, name: owned(1)? },
            ("policy", 2) => Self::Policy { namespace: owned(0)?, name: owned(1)? },
            ("gateway", 1) => Self::Gateway(rest[0].parse().ok()?),
            ("gateway", 3) => Self::GatewayRoutes {
                port: rest[0].parse().ok()?,
                server: owned(1)?,
                host: owned(2)?,
            },
            ("secret", 2) => Self::Secret { namespace: owned(0)?, name: owned(1)? },
            _ => return None,
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("cut"),
            Self::Settings => f.write_str("settings"),
            Self::Directory { namespace, bucket } => write!(f, "directory/{namespace}/{bucket}"),
            Self::Host(host) => write!(f, "host/{host}"),
            Self::Routes(host) => write!(f, "routes/{host}"),
            Self::Destination { host, port, subset } => {
                write!(f, "destination/{host}/{port}/{subset}")
            }
            Self::Endpoints { host, port, bucket } => {
                write!(f, "endpoints/{host}/{port}/{bucket}")
            }
            Self::Inbound { namespace, name } => write!(f, "inbound/{namespace}/{name}"),
            Self::Policy { namespace, name } => write!(f, "policy/{namespace}/{name}"),
            Self::Gateway(port) => write!(f, "gateway/{port}"),
            Self::GatewayRoutes { port, server, host } => {
                write!(f, "gateway/{port}/{server}/{host}")
            }
            Self::Secret { namespace, name } => write!(f, "secret/{namespace}/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_wire() {
        for text in [
            "cut",
            "settings",
            "directory/shop/3",
            "host/*.example.com",
            "routes/reviews.shop.svc.cluster.local",
            "destination/reviews.shop.svc.cluster.local/9080/v2",
            "destination/reviews.shop.svc.cluster.local/9080/",
            "endpoints/reviews.shop.svc.cluster.local/9080/0",
            "inbound/shop/reviews-7f",
            "policy/istio-system/deny-admin",
            "gateway/8080",
            "gateway/8443/shop.front.https/*",
            "secret/istio-system/front-cert",
        ] {
            let name = Name::parse(text).unwrap_or_else(|| panic!("{text} is not read"));
            assert_eq!(name.to_string(), text);
        }
        for text in ["", "route/x", "gateway/x", "gateway/80/x", "endpoints/h/99999/0", "cut/1"] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }
}
