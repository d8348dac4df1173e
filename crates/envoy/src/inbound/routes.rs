//! The one route of an inbound connection manager: to the application.

use envoy_types::pb::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction,
};
use envoy_types::pb::envoy::config::route::v3::{
    Decorator, HeaderMatcher, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch,
    VirtualHost, header_matcher, route, route_action, route_match,
};
use envoy_types::pb::google::protobuf::{BoolValue, Duration};
use lateen_mesh::v1::Protocol;
use route_action::{ClusterSpecifier, MaxStreamDuration};

use crate::lowering::Context;
use crate::message::uint32;
use crate::names::{
    PEER_METADATA_HEADER, PEER_METADATA_ID_HEADER, PEER_METADATA_ID_VARIABLE,
    PEER_METADATA_VARIABLE,
};

/// How many times what certainly did not reach the application is tried again.
const RETRIES: u32 = 2;

/// The application on one port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Application<'a> {
    pub(super) protocol: Protocol,
    /// Host of the service and its port; empty and 0 where no service declares the port.
    pub(super) service: (&'a str, u32),
}

impl Application<'_> {
    /// The route configuration.
    pub(super) fn lower(&self, context: &Context<'_>, cluster: &str) -> RouteConfiguration {
        let (_, port) = self.service;
        let mut routes = Vec::new();
        // A caller that says who it is is told who answers.
        if context.placement.agent {
            routes.push(Route {
                r#match: Some(RouteMatch { headers: vec![present()], ..everything() }),
                response_headers_to_add: vec![
                    constant(PEER_METADATA_ID_HEADER, PEER_METADATA_ID_VARIABLE),
                    constant(PEER_METADATA_HEADER, PEER_METADATA_VARIABLE),
                ],
                ..self.route(cluster)
            });
        }
        routes.push(Route { r#match: Some(everything()), ..self.route(cluster) });
        RouteConfiguration {
            name: cluster.to_owned(),
            virtual_hosts: vec![VirtualHost {
                name: format!("inbound|http|{port}"),
                domains: vec!["*".to_owned()],
                routes,
                ..VirtualHost::default()
            }],
            validate_clusters: Some(BoolValue { value: false }),
            ..RouteConfiguration::default()
        }
    }

    fn route(&self, cluster: &str) -> Route {
        let (host, port) = self.service;
        // Requests are forwarded as long as they take, whatever they say of their time.
        let none = || Some(Duration::default());
        let action = RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
            timeout: none(),
            max_stream_duration: Some(MaxStreamDuration {
                max_stream_duration: none(),
                grpc_timeout_header_max: none(),
                ..MaxStreamDuration::default()
            }),
            retry_policy: self.retries(),
            ..RouteAction::default()
        };
        Route {
            name: "default".to_owned(),
            decorator: (!host.is_empty())
                .then(|| Decorator { operation: format!("{host}:{port}/*"), propagate: None }),
            // The application does not speak for the proxy.
            response_headers_to_remove: vec![
                PEER_METADATA_HEADER.to_owned(),
                PEER_METADATA_ID_HEADER.to_owned(),
            ],
            action: Some(route::Action::Route(action)),
            ..Route::default()
        }
    }

    fn retries(&self) -> Option<RetryPolicy> {
        let grpc = matches!(self.protocol, Protocol::Grpc | Protocol::GrpcWeb);
        (!grpc).then(|| RetryPolicy {
            retry_on: "reset-before-request".to_owned(),
            num_retries: Some(uint32(RETRIES)),
            ..RetryPolicy::default()
        })
    }
}

fn everything() -> RouteMatch {
    RouteMatch {
        path_specifier: Some(route_match::PathSpecifier::Prefix("/".to_owned())),
        ..RouteMatch::default()
    }
}

fn present() -> HeaderMatcher {
    HeaderMatcher {
        name: PEER_METADATA_ID_HEADER.to_owned(),
        header_match_specifier: Some(header_matcher::HeaderMatchSpecifier::PresentMatch(true)),
        ..HeaderMatcher::default()
    }
}

/// A header whose value stands in the environment of Envoy.
fn constant(header: &str, variable: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: header.to_owned(),
            value: format!("%ENVIRONMENT({variable})%"),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}
