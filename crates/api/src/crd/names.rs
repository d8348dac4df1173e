//! What kinds are called on the command line, and what kubectl shows of them: as Istio has it.

use crate::kind::Kind;

/// How users refer to a kind.
#[derive(Debug)]
pub(super) struct Names {
    /// `vs` for VirtualService.
    pub(super) short: &'static [&'static str],
    /// What `kubectl get` shows.
    pub(super) columns: &'static [Column],
    /// Whether an object says nothing without `spec`.
    pub(super) spec_required: bool,
}

/// A column of `kubectl get`.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) path: &'static str,
    pub(super) doc: &'static str,
}

const AGE: Column = Column {
    name: "Age",
    kind: "date",
    path: ".metadata.creationTimestamp",
    doc: "How long ago the object was made.",
};

const fn text(name: &'static str, path: &'static str, doc: &'static str) -> Column {
    Column { name, kind: "string", path, doc }
}

const PLAIN: &[Column] = &[AGE];

static VIRTUAL_SERVICE: Names = Names {
    short: &["vs"],
    columns: &[
        text("Gateways", ".spec.gateways", "The gateways that the routes apply to."),
        text("Hosts", ".spec.hosts", "The hosts."),
        AGE,
    ],
    spec_required: false,
};
static DESTINATION_RULE: Names = Names {
    short: &["dr"],
    columns: &[text("Host", ".spec.host", "The host."), AGE],
    spec_required: true,
};
static GATEWAY: Names = Names { short: &["gw"], columns: PLAIN, spec_required: false };
static SERVICE_ENTRY: Names = Names {
    short: &["se"],
    columns: &[
        text("Hosts", ".spec.hosts", "The hosts."),
        text("Location", ".spec.location", "Whether the service is part of the mesh."),
        text("Resolution", ".spec.resolution", "How endpoints are found."),
        AGE,
    ],
    spec_required: true,
};
static WORKLOAD_ENTRY: Names = Names {
    short: &["we"],
    columns: &[text("Address", ".spec.address", "The workload's address."), AGE],
    spec_required: true,
};
static WORKLOAD_GROUP: Names = Names { short: &["wg"], columns: PLAIN, spec_required: true };
static PEER_AUTHENTICATION: Names = Names {
    short: &["pa"],
    columns: &[text("Mode", ".spec.mtls.mode", "Whether mutual TLS is demanded."), AGE],
    spec_required: false,
};
static REQUEST_AUTHENTICATION: Names =
    Names { short: &["ra"], columns: PLAIN, spec_required: false };
static AUTHORIZATION_POLICY: Names = Names {
    short: &["ap"],
    columns: &[text("Action", ".spec.action", "What becomes of requests that match."), AGE],
    spec_required: false,
};
static TELEMETRY: Names = Names { short: &["telemetry"], columns: PLAIN, spec_required: false };
static EXTENSION: Names = Names { short: &[], columns: PLAIN, spec_required: true };
static OTHER: Names = Names { short: &[], columns: PLAIN, spec_required: false };

pub(super) fn of(kind: Kind) -> Option<&'static Names> {
    Some(match kind {
        Kind::VirtualService => &VIRTUAL_SERVICE,
        Kind::DestinationRule => &DESTINATION_RULE,
        Kind::Gateway => &GATEWAY,
        Kind::ServiceEntry => &SERVICE_ENTRY,
        Kind::WorkloadEntry => &WORKLOAD_ENTRY,
        Kind::WorkloadGroup => &WORKLOAD_GROUP,
        Kind::PeerAuthentication => &PEER_AUTHENTICATION,
        Kind::RequestAuthentication => &REQUEST_AUTHENTICATION,
        Kind::AuthorizationPolicy => &AUTHORIZATION_POLICY,
        Kind::Telemetry => &TELEMETRY,
        Kind::WasmPlugin | Kind::TrafficExtension => &EXTENSION,
        Kind::Sidecar | Kind::EnvoyFilter | Kind::ProxyConfig => &OTHER,
        _ => return None,
    })
}
