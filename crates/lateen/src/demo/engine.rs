//! Which data plane serves which workload of the demo.

use clap::ValueEnum;

use crate::commands::addresses::Addresses;

/// In the mixed demo, the workloads that Envoy serves: one that calls and one that is called, so that
/// every pair of data planes meets in both directions.
const ENVOYS: [&str; 2] = ["visitor", "catalog-v1"];

/// What serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Lateen's own proxy everywhere.
    Native,
    /// A stock Envoy everywhere.
    Envoy,
    /// Half the workloads each.
    Mixed,
}

impl Engine {
    /// Whether Envoy serves the workload of this name.
    pub fn is_envoy_at(self, workload: &str) -> bool {
        match self {
            Self::Native => false,
            Self::Envoy => true,
            Self::Mixed => ENVOYS.contains(&workload),
        }
    }

    /// Who serves whom in the mixed demo, for people.
    pub fn halves(addresses: &Addresses) -> String {
        let served = |envoy: bool| {
            let names = addresses.workloads.iter().map(|workload| workload.name.as_str());
            let names: Vec<_> =
                names.filter(|name| Self::Mixed.is_envoy_at(name) == envoy).collect();
            names.join(", ")
        };
        format!("native: {}; envoy: {}", served(false), served(true))
    }
}
