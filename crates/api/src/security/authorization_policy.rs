//! AuthorizationPolicy: who may call a workload.

use crate::message::{enumeration, message, oneof};
use crate::security::LabelSelector;

message! {
    /// Who may call workloads. ALLOW without rules matches nothing, which denies everything.
    pub struct AuthorizationPolicy {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, honoured;
        /// The objects that the policy is attached to. Superseded by `targetRefs`.
        target_ref: Option<PolicyTargetReference>, pending;
        /// The objects that the policy is attached to. Excludes `selector`.
        target_refs: Vec<PolicyTargetReference>, pending;
        /// Requests; one that matches any rule matches the policy.
        rules: Vec<Rule>, honoured;
        /// What becomes of matching requests.
        action: AuthorizationAction, honoured;
        /// More about the action.
        action_detail: Option<ActionDetail>, oneof;
    }

    /// An object that a policy is attached to.
    pub struct PolicyTargetReference {
        /// Its API group; empty for Kubernetes' core.
        group: String, pending;
        /// Its kind.
        kind: String, pending;
        /// Its name.
        name: String, pending;
        /// Its namespace, which must be this object's.
        namespace: String, pending;
    }

    /// Who decides instead.
    pub struct ExtensionProviderRef {
        /// The name of one of MeshConfig's `extensionProviders`.
        name: String, pending;
    }

    /// Some requests: any `from`, any `to` and every `when` must hold. A rule without any matches
    /// everything.
    pub struct Rule {
        /// Callers.
        from: Vec<From>, honoured;
        /// Operations.
        to: Vec<To>, honoured;
        /// Conditions.
        when: Vec<Condition>, honoured;
    }

    /// Callers.
    pub struct From {
        /// Every field that is set must hold.
        source: Option<Source>, honoured;
    }

    /// Operations.
    pub struct To {
        /// Every field that is set must hold.
        operation: Option<Operation>, honoured;
    }

    /// A caller: every field that is set must hold, with one of its values.
    pub struct Source {
        /// SPIFFE identities without the scheme; `*` at one end.
        principals: Vec<String>, honoured;
        /// The opposite.
        not_principals: Vec<String>, honoured;
        /// `issuer/subject` of tokens.
        request_principals: Vec<String>, pending;
        /// The opposite.
        not_request_principals: Vec<String>, pending;
        /// Namespaces of callers.
        namespaces: Vec<String>, honoured;
        /// The opposite.
        not_namespaces: Vec<String>, honoured;
        /// Service accounts of callers: `account` of this namespace, or `namespace/account`.
        service_accounts: Vec<String>, honoured;
        /// The opposite.
        not_service_accounts: Vec<String>, honoured;
        /// Trust domains of callers.
        trust_domains: Vec<String>, honoured;
        /// The opposite.
        not_trust_domains: Vec<String>, honoured;
        /// Addresses or CIDR blocks of the connection's other end.
        ip_blocks: Vec<String>, honoured;
        /// The opposite.
        not_ip_blocks: Vec<String>, honoured;
        /// Addresses or CIDR blocks of the original client.
        remote_ip_blocks: Vec<String>, honoured;
        /// The opposite.
        not_remote_ip_blocks: Vec<String>, honoured;
    }

    /// An operation: every field that is set must hold, with one of its values.
    pub struct Operation {
        /// Authorities as sent, in any case; `*` at one end.
        hosts: Vec<String>, honoured;
        /// The opposite.
        not_hosts: Vec<String>, honoured;
        /// Ports of the workload.
        ports: Vec<String>, honoured;
        /// The opposite.
        not_ports: Vec<String>, honoured;
        /// Methods.
        methods: Vec<String>, honoured;
        /// The opposite.
        not_methods: Vec<String>, honoured;
        /// Paths: `*` at one end, or a template with `{*}` for a segment and `{**}` for the rest.
        paths: Vec<String>, honoured;
        /// The opposite.
        not_paths: Vec<String>, honoured;
    }

    /// A condition on an attribute.
    pub struct Condition {
        /// The attribute, such as `request.headers[version]`.
        key: String, honoured;
        /// Values of which the attribute must have one.
        values: Vec<String>, honoured;
        /// Values of which the attribute must have none.
        not_values: Vec<String>, honoured;
    }
}

oneof! {
    /// More about an action.
    pub enum ActionDetail {
        /// Who decides, for CUSTOM.
        Provider(ExtensionProviderRef) = provider, pending;
    }
}

enumeration! {
    /// What becomes of requests that match.
    pub enum AuthorizationAction {
        /// They are allowed; where any ALLOW policy applies, others are denied.
        Allow = 0 "ALLOW", honoured;
        /// They are denied.
        Deny = 1 "DENY", honoured;
        /// They are marked for auditing; nothing is decided.
        Audit = 2 "AUDIT", honoured;
        /// Someone else decides. Not acted on yet, so that they are denied.
        Custom = 3 "CUSTOM", pending;
    }
}
