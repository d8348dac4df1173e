//! The mesh's `extensionProviders`.

use std::collections::BTreeSet;

use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::duration::Duration;
use crate::mesh_config::{ExtensionProvider, ExtensionProviderDetail, ProviderService};

pub(super) fn extension_providers(v: &mut Validator, providers: &[ExtensionProvider]) {
    let mut names = BTreeSet::new();
    v.each("extensionProviders", providers, |v, provider| {
        if provider.name.is_empty() {
            v.missing("name", "the provider needs a name");
        } else if !names.insert(provider.name.clone()) {
            let message = format!("the name `{}` is used twice", provider.name);
            v.field("name", |v| v.error(Code::Inconsistent, message));
        }
        match &provider.provider {
            Some(it) => detail(v, it),
            None => v.error(Code::MissingField, "what the provider is is needed"),
        }
    });
}

fn detail(v: &mut Validator, detail: &ExtensionProviderDetail) {
    use ExtensionProviderDetail as Detail;
    match detail {
        Detail::EnvoyExtAuthzHttp(it) => v.field("envoyExtAuthzHttp", |v| {
            place(v, &it.service, it.port);
            authorizer(v, it.timeout, &it.status_on_error);
            if !it.path_prefix.is_empty() && !it.path_prefix.starts_with('/') {
                let message = format!("`{}` does not begin with `/`", it.path_prefix);
                v.check_field("pathPrefix", Err(message));
            }
        }),
        Detail::EnvoyExtAuthzGrpc(it) => v.field("envoyExtAuthzGrpc", |v| {
            place(v, &it.service, it.port);
            authorizer(v, it.timeout, &it.status_on_error);
        }),
        Detail::Lightstep(it) => v.field("lightstep", |v| {
            place(v, &it.service, it.port);
            if it.access_token.0.is_empty() {
                v.missing("accessToken", "the token is needed");
            }
        }),
        Detail::Zipkin(it) => service(v, "zipkin", it),
        Detail::Datadog(it) => service(v, "datadog", it),
        Detail::Opencensus(it) => service(v, "opencensus", it),
        Detail::Skywalking(it) => service(v, "skywalking", it),
        Detail::Opentelemetry(it) => service(v, "opentelemetry", it),
        Detail::EnvoyHttpAls(it) => service(v, "envoyHttpAls", it),
        Detail::EnvoyTcpAls(it) => service(v, "envoyTcpAls", it),
        Detail::EnvoyOtelAls(it) => service(v, "envoyOtelAls", it),
        Detail::Sds(it) => service(v, "sds", it),
        Detail::Stackdriver(_) | Detail::Prometheus(_) | Detail::EnvoyFileAccessLog(_) => {}
    }
}

fn service(v: &mut Validator, name: &str, service: &ProviderService) {
    v.field(name, |v| place(v, &service.service, service.port));
}

fn place(v: &mut Validator, service: &str, port: u32) {
    v.check_field("service", provider_service(service));
    v.check_field("port", syntax::port(port));
}

/// `[namespace/]host`.
fn provider_service(service: &str) -> syntax::Check {
    if service.is_empty() {
        return Err("the service is needed".to_owned());
    }
    match service.split_once('/') {
        Some((namespace, _)) if !syntax::is_namespace(namespace) => {
            Err(format!("`{namespace}` in `{service}` is not a namespace"))
        }
        Some((_, host)) => syntax::fqdn(host),
        None => syntax::fqdn(service),
    }
}

fn authorizer(v: &mut Validator, timeout: Option<Duration>, status_on_error: &str) {
    if let Some(timeout) = timeout {
        v.check_field("timeout", syntax::duration(timeout));
    }
    if !status_on_error.is_empty() {
        let number = status_on_error.parse().map_err(|_| ());
        let fits = number.is_ok_and(|status| syntax::http_status(status).is_ok());
        if !fits {
            let message = format!("`{status_on_error}` is not a status of HTTP");
            v.check_field("statusOnError", Err(message));
        }
    }
}
