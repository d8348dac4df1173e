//! Whether a caller may be served as the workload that it says it is.

use lateen_compiler::{Client, Compiler, Role};
use lateen_identity::SpiffeId;
use tonic::Status;

use crate::node::NodeId;

/// The service account of a workload that names none.
const DEFAULT_ACCOUNT: &str = "default";

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Its identity is proven; whether it may have the secrets of its namespace.
    Proven(SpiffeId, bool),
    /// On the plain-text port nothing is: what the node says of itself counts for a workload that
    /// nobody applied.
    Said(Box<Client>),
}

impl Caller {
    /// Whether all is proven that keys are given for.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self, Self::Proven(_, true))
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proven(identity, _) => identity.fmt(f),
            Self::Said(_) => f.write_str("none, by plain text"),
        }
    }
}

/// The facts of the workload, out of the control plane's own record.
pub(super) fn admit(
    compiler: &Compiler,
    caller: &Caller,
    node: &NodeId,
    whole_scope: bool,
) -> Result<Client, Status> {
    if let Caller::Proven(identity, _) = caller
        && identity.namespace() != node.namespace
    {
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
    let client = match (compiler.workload(&node.namespace, &node.name, role), caller) {
        (Some(client), Caller::Proven(identity, _)) => {
            let account = account(&client);
            if identity.service_account() != account {
                return Err(Status::permission_denied(format!(
                    "{identity} may not be served as workload {}/{}: its service account is {account}",
                    node.namespace, node.name,
                )));
            }
            client
        }
        (Some(client), Caller::Said(_)) => client,
        (None, Caller::Said(client)) => (**client).clone(),
        (None, Caller::Proven(..)) => {
            return Err(Status::not_found(format!(
                "there is no workload {}/{}: a Pod or WorkloadEntry of that name has to be applied first",
                node.namespace, node.name,
            )));
        }
    };
    Ok(Client { whole_scope, ..client })
}

/// The service account that a workload's proxy has to prove.
pub(super) fn account(client: &Client) -> &str {
    if client.service_account.is_empty() { DEFAULT_ACCOUNT } else { &client.service_account }
}
