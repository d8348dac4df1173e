//! PeerAuthentications.

use std::sync::Arc;

use lateen_api::security::{self, MutualTls, MutualTlsMode};
use lateen_mesh::v1::MtlsMode;

use super::{Fact, Lowering, port_number};
use crate::node::{Labels, Mode, PeerAuthentication};

impl Lowering<'_> {
    pub(super) fn peer_authentication(&mut self, spec: &security::PeerAuthentication) -> Vec<Fact> {
        let selector = spec.selector.as_ref().map(|selector| Labels::new(&selector.match_labels));
        let ports = spec.port_level_mtls.iter();
        let ports = ports.filter_map(|(port, mtls)| Some((port_number(*port)?, mode(Some(mtls)))));
        vec![Fact::PeerAuthentication(Arc::new(PeerAuthentication {
            source: self.source(),
            namespace: self.namespace(),
            selector: selector.filter(|labels| !labels.is_empty()),
            mode: mode(spec.mtls.as_ref()),
            ports: ports.collect(),
        }))]
    }
}

fn mode(mtls: Option<&MutualTls>) -> Mode {
    match mtls?.mode {
        MutualTlsMode::Unset => None,
        MutualTlsMode::Disable => Some(MtlsMode::Disable),
        MutualTlsMode::Permissive => Some(MtlsMode::Permissive),
        MutualTlsMode::Strict => Some(MtlsMode::Strict),
    }
}
