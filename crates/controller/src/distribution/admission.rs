//! Whether a proven identity may be served as the workload that it says it is.

use lateen_compiler::{Client, Compiler, Role};
use lateen_identity::SpiffeId;
use tonic::Status;

use crate::node::NodeId;

/// The service account of a workload that names none.
const DEFAULT_ACCOUNT: &str = "default";

/// The facts of the workload, out of the control plane's own record.
pub(super) fn admit(
    compiler: &Compiler,
    identity: &SpiffeId,
    node: &NodeId,
    whole_scope: bool,
) -> Result<Client, Status> {
    if identity.namespace() != node.namespace {
        return Err(Status::permission_denied(format!(
            "{identity} may not be served as workload {}/{}: it is of another namespace",
            node.namespace, node.name,
        )));
    }
    // A workload that a Gateway selects is a gateway, whatever its proxy calls itself; one that calls
    // itself a gateway may be waiting for its Gateway.
    let role = match compiler.role(&node.namespace, &node.name) {
        Some(Role::Gateway) => Role::Gateway,
        _ => node.role,
    };
    let Some(client) = compiler.workload(&node.namespace, &node.name, role) else {
        return Err(Status::not_found(format!(
            "there is no workload {}/{}: a Pod or WorkloadEntry of that name has to be applied first",
            node.namespace, node.name,
        )));
    };
    let account = account(&client);
    if identity.service_account() != account {
        return Err(Status::permission_denied(format!(
            "{identity} may not be served as workload {}/{}: its service account is {account}",
            node.namespace, node.name,
        )));
    }
    Ok(Client { whole_scope, ..client })
}

/// The service account that a workload's proxy has to prove.
pub(super) fn account(client: &Client) -> &str {
    if client.service_account.is_empty() { DEFAULT_ACCOUNT } else { &client.service_account }
}
