//! What makes Kubernetes' own objects unsafe to compile. An API server has checked them already;
//! files have not been.

use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::kubernetes::{EndpointSlice, Service};

pub(super) fn service(v: &mut Validator, service: &Service) {
    let Some(spec) = &service.spec else { return };
    v.field("spec", |v| {
        v.each("ports", &spec.ports, |v, it| {
            v.check_field("port", syntax::port(u32::try_from(it.port).unwrap_or(u32::MAX)));
        });
        for address in spec.addresses() {
            if !syntax::is_ip(address) {
                let message = format!("`{address}` is not an IP address");
                v.field("clusterIP", |v| v.error(Code::BadValue, message));
            }
        }
        if spec.r#type == "ExternalName" && spec.external_name.is_empty() {
            v.missing("externalName", "a service of type ExternalName needs it");
        }
    });
}

pub(super) fn endpoint_slice(v: &mut Validator, slice: &EndpointSlice) {
    let by_name = slice.address_type == "FQDN";
    v.each("endpoints", &slice.endpoints, |v, endpoint| {
        v.each("addresses", &endpoint.addresses, |v, address| {
            if !by_name && !syntax::is_ip(address) {
                v.error(Code::BadValue, format!("`{address}` is not an IP address"));
            }
        });
    });
    v.each("ports", &slice.ports, |v, it| {
        if let Some(port) = it.port {
            v.check_field("port", syntax::port(u32::try_from(port).unwrap_or(u32::MAX)));
        }
    });
}
