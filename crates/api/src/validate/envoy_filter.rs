//! EnvoyFilter.

use super::attachment::targets;
use super::shared::workload_selector;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::networking::{
    ApplyTo, EnvoyConfigObjectMatch, EnvoyConfigObjectPatch, EnvoyFilter, EnvoyFilterClass,
    EnvoyObjectMatch, EnvoyPatch, PatchOperation,
};

pub(super) fn envoy_filter(v: &mut Validator, filter: &EnvoyFilter) {
    workload_selector(v, filter.workload_selector.as_ref());
    if filter.workload_selector.is_some() && !filter.target_refs.is_empty() {
        v.conflict("workloadSelector", "`workloadSelector` excludes `targetRefs`");
    }
    targets(v, &filter.target_refs);
    v.each("configPatches", &filter.config_patches, config_patch);
}

fn config_patch(v: &mut Validator, patch: &EnvoyConfigObjectPatch) {
    if patch.apply_to == ApplyTo::Invalid {
        v.missing("applyTo", "what is patched is needed");
    }
    match &patch.patch {
        Some(it) => v.field("patch", |v| operation(v, it, patch.apply_to)),
        None => v.missing("patch", "what is done is needed"),
    }
    if let Some(it) = &patch.r#match {
        v.field("match", |v| object_match(v, it, patch.apply_to));
    }
}

fn operation(v: &mut Validator, patch: &EnvoyPatch, apply_to: ApplyTo) {
    let filter =
        matches!(apply_to, ApplyTo::NetworkFilter | ApplyTo::HttpFilter | ApplyTo::ListenerFilter);
    match patch.operation {
        PatchOperation::Invalid => v.missing("operation", "how it is patched is needed"),
        PatchOperation::Remove if patch.value.is_some() => {
            v.field("value", |v| v.warn(Code::NoEffect, "REMOVE takes no value"));
        }
        PatchOperation::Remove => {}
        _ if patch.value.is_none() => v.missing("value", "a part of Envoy's configuration"),
        PatchOperation::Replace if !filter => {
            v.field("operation", |v| v.warn(Code::NoEffect, "REPLACE is for filters only"));
        }
        _ => {}
    }
    if patch.filter_class != EnvoyFilterClass::Unspecified && patch.operation != PatchOperation::Add
    {
        v.field("filterClass", |v| v.warn(Code::NoEffect, "it counts for ADD only"));
    }
}

fn object_match(v: &mut Validator, wanted: &EnvoyConfigObjectMatch, apply_to: ApplyTo) {
    if let Some(proxy) = &wanted.proxy {
        v.field("proxy", |v| {
            if !proxy.proxy_version.is_empty() {
                v.check_field("proxyVersion", syntax::regex(&proxy.proxy_version));
            }
            v.each_key("metadata", &proxy.metadata, |v, name, _| {
                if name.is_empty() {
                    v.error(Code::BadValue, "the name is empty");
                }
            });
        });
    }
    let Some(object) = &wanted.object_types else { return };
    let (name, fits) = match (object, apply_to) {
        (EnvoyObjectMatch::Listener(_), ApplyTo::Cluster) => ("listener", false),
        (EnvoyObjectMatch::Cluster(_), ApplyTo::Cluster | ApplyTo::Invalid) => ("cluster", true),
        (EnvoyObjectMatch::Cluster(_), _) => ("cluster", false),
        (
            EnvoyObjectMatch::RouteConfiguration(_),
            ApplyTo::RouteConfiguration
            | ApplyTo::VirtualHost
            | ApplyTo::HttpRoute
            | ApplyTo::Invalid,
        ) => ("routeConfiguration", true),
        (EnvoyObjectMatch::RouteConfiguration(_), _) => ("routeConfiguration", false),
        (
            EnvoyObjectMatch::Listener(_),
            ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute,
        ) => ("listener", false),
        (EnvoyObjectMatch::Listener(_) | EnvoyObjectMatch::Waypoint(_), _) => ("listener", true),
    };
    if !fits {
        v.conflict(name, format!("`applyTo: {apply_to}` finds nothing in it"));
    }
    if let EnvoyObjectMatch::Waypoint(waypoint) = object
        && waypoint.port_number > 65535
    {
        v.field("waypoint", |v| {
            v.check_field("portNumber", syntax::port(waypoint.port_number));
        });
    }
}
