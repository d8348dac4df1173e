//! Header operations: on each level Envoy removes, then sets and adds, as the engine does.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use lateen_mesh::v1;

use crate::names::{
    PEER_METADATA_HEADER, PEER_METADATA_ID_HEADER, PEER_METADATA_ID_VARIABLE,
    PEER_METADATA_VARIABLE,
};

/// A rule's operations on requests.
pub(super) fn for_request(route: &mut Route, operations: Option<&v1::HeaderOperations>) {
    let (add, remove) = lower(operations);
    route.request_headers_to_add = add;
    route.request_headers_to_remove = remove;
}

/// A rule's operations on answers.
pub(super) fn for_response(route: &mut Route, operations: Option<&v1::HeaderOperations>) {
    let (add, remove) = lower(operations);
    route.response_headers_to_add = add;
    route.response_headers_to_remove = remove;
}

/// A backend's own operations.
pub(super) fn for_backend(cluster: &mut ClusterWeight, backend: &v1::Backend) {
    let (add, remove) = lower(backend.request_headers.as_ref());
    cluster.request_headers_to_add = add;
    cluster.request_headers_to_remove = remove;
    let (add, remove) = lower(backend.response_headers.as_ref());
    cluster.response_headers_to_add = add;
    cluster.response_headers_to_remove = remove;
}

/// Whether the operations change any header; the authority is none.
pub(super) fn changes_headers(operations: Option<&v1::HeaderOperations>) -> bool {
    operations.is_some_and(|operations| {
        let named = operations.set.iter().chain(&operations.add).map(|header| &header.name);
        named.chain(&operations.remove).any(|name| !is_authority(name))
    })
}

/// The authority that the operations set.
pub(super) fn authority(operations: Option<&v1::HeaderOperations>) -> Option<String> {
    let set = &operations?.set;
    let authority = set.iter().rev().find(|header| is_authority(&header.name))?;
    Some(authority.value.replace("%%", "%"))
}

/// What the workload tells a peer of the mesh of itself, from the agent's environment.
pub(super) fn peer_metadata() -> Vec<HeaderValueOption> {
    [
        (PEER_METADATA_HEADER, PEER_METADATA_VARIABLE),
        (PEER_METADATA_ID_HEADER, PEER_METADATA_ID_VARIABLE),
    ]
    .map(|(header, variable)| {
        let value = format!("%ENVIRONMENT({variable})%");
        option(header, value, HeaderAppendAction::OverwriteIfExistsOrAdd)
    })
    .into()
}

fn lower(operations: Option<&v1::HeaderOperations>) -> (Vec<HeaderValueOption>, Vec<String>) {
    let Some(operations) = operations else { return Default::default() };
    let each = |headers: &[v1::Header], action: HeaderAppendAction| -> Vec<HeaderValueOption> {
        let headers = headers.iter().filter(|header| !is_authority(&header.name));
        headers.map(|header| option(&header.name, literal(&header.value), action)).collect()
    };
    let mut add = each(&operations.set, HeaderAppendAction::OverwriteIfExistsOrAdd);
    add.extend(each(&operations.add, HeaderAppendAction::AppendIfExistsOrAdd));
    let remove = operations.remove.iter().filter(|name| !is_authority(name)).cloned().collect();
    (add, remove)
}

fn option(name: &str, value: String, action: HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value, ..HeaderValue::default() }),
        append_action: action.into(),
        keep_empty_value: true,
        ..HeaderValueOption::default()
    }
}

/// Names of headers whose values have commands, which are not carried out.
pub(super) fn with_commands(operations: Option<&v1::HeaderOperations>) -> Vec<&str> {
    let headers = operations.into_iter().flat_map(|it| it.set.iter().chain(&it.add));
    let with = headers.filter(|header| header.value.replace("%%", "").contains('%'));
    with.map(|header| header.name.as_str()).collect()
}

/// Users double a literal `%`; a single one is kept as it is too, since commands are not honoured.
fn literal(value: &str) -> String {
    value.replace("%%", "%").replace('%', "%%")
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}
