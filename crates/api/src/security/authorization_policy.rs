//! AuthorizationPolicy: who may call a workload.

use crate::message::{enumeration, message, oneof};
use crate::security::LabelSelector;

message! {
    /// Who may call workloads. ALLOW without rules matches nothing, which denies everything.
    pub struct AuthorizationPolicy [
        Holds(
            "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + \
             (has(self.targetRefs) ? 1 : 0) <= 1",
            "only one of targetRefs or selector can be set"
        ),
    ] {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, honoured;
        /// The objects that the policy is attached to. Superseded by `targetRefs`.
        target_ref: Option<PolicyTargetReference>, pending;
        /// The objects that the policy is attached to. Excludes `selector`.
        target_refs: Vec<PolicyTargetReference>, pending, MaxItems(16);
        /// Requests; one that matches any rule matches the policy.
        rules: Vec<Rule>, honoured, MaxItems(512);
        /// What becomes of matching requests.
        action: AuthorizationAction, honoured;
        /// More about the action.
        action_detail: Option<ActionDetail>, oneof;
    }

    /// An object that a policy is attached to.
    pub struct PolicyTargetReference [
        Holds(
            "[has(self.group) ? self.group : '', self.kind] in [['core', 'Service'], ['', 'Service'], \
             ['gateway.networking.k8s.io', 'Gateway'], \
             ['gateway.networking.k8s.io', 'GatewayClass'], \
             ['networking.istio.io', 'ServiceEntry']]",
            "Support kinds are core/Service, networking.istio.io/ServiceEntry, \
             gateway.networking.k8s.io/Gateway, gateway.networking.k8s.io/GatewayClass"
        ),
    ] {
        /// Its API group; empty for Kubernetes' core.
        group: String, pending, MaxLength(253),
            Pattern("^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$");
        /// Its kind.
        kind: String, pending, Required, MinLength(1), MaxLength(63),
            Pattern("^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$");
        /// Its name.
        name: String, pending, Required, MinLength(1), MaxLength(253);
        /// Its namespace, which must be this object's.
        namespace: String, pending,
            Holds("self.size() == 0", "cross namespace referencing is not currently supported");
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
        from: Vec<From>, honoured, MaxItems(512);
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
    pub struct Source [
        Holds(
            "(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? \
             (!has(self.principals) && !has(self.notPrincipals) && \
             !has(self.namespaces) && !has(self.notNamespaces)) : true",
            "Cannot set serviceAccounts with namespaces or principals"
        ),
    ] {
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
        service_accounts: Vec<String>, honoured, MaxItems(16), Each(&[MaxLength(320)]);
        /// The opposite.
        not_service_accounts: Vec<String>, honoured, MaxItems(16), Each(&[MaxLength(320)]);
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
        key: String, honoured, Required;
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
