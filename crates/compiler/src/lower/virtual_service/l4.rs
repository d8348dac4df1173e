//! Rules for TLS that is passed through, and for TCP.

use lateen_api::networking::{RouteDestination, TcpRoute, TlsRoute};
use lateen_mesh::v1;

use super::{Lowering, own, weigh};
use crate::lower::{block, port_number};
use crate::node::{Backend, L4Match, L4Rule};

impl Lowering<'_> {
    pub(super) fn tls_rule(&self, at: usize, rule: &TlsRoute) -> L4Rule {
        let field = format!("spec.tls[{at}]");
        let matches = rule.r#match.iter().enumerate().map(|(at, each)| L4Match {
            binding: self.binding(&each.gateways, &each.source_labels, &each.source_namespace),
            matching: v1::L4Match {
                sni: each.sni_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
                ..to_match(&field, at, &each.destination_subnets, each.port)
            },
        });
        L4Rule {
            matches: matches.collect(),
            backends: self.l4_backends(&field, &rule.route),
            field,
        }
    }

    pub(super) fn tcp_rule(&self, at: usize, rule: &TcpRoute) -> L4Rule {
        let field = format!("spec.tcp[{at}]");
        let matches = rule.r#match.iter().enumerate().map(|(at, each)| L4Match {
            binding: self.binding(&each.gateways, &each.source_labels, &each.source_namespace),
            matching: to_match(&field, at, &each.destination_subnets, each.port),
        });
        L4Rule {
            matches: matches.collect(),
            backends: self.l4_backends(&field, &rule.route),
            field,
        }
    }

    fn l4_backends(&self, field: &str, routes: &[RouteDestination]) -> Vec<Backend> {
        let backends = routes.iter().enumerate().map(|(at, route)| {
            let field = format!("{field}.route[{at}]");
            self.backend(route.destination.as_ref(), &field, route.weight)
        });
        weigh(backends.collect())
    }
}

fn to_match(rule: &str, at: usize, subnets: &[String], port: u32) -> v1::L4Match {
    v1::L4Match {
        sni: Vec::new(),
        destination_subnets: subnets
            .iter()
            .filter_map(|text| block(text))
            .map(|block| block.encode())
            .collect(),
        port: u32::from(port_number(port).unwrap_or_default()),
        origin: Some(own(&format!("{rule}.match[{at}]"))),
    }
}
