//! Traffic capture: the rules of the kernel's packet filter that lead a pod's traffic through its
//! proxy, as data.
//!
//! What is captured and how is Istio's contract, to the name of each chain and the order of each
//! rule, so that tools and people who know the one know the other. Nothing here reads a file, runs a
//! program or asks for the time: texts come in by argument, and texts go out. `lateen capture` runs
//! the programs.
//!
//! - [`settings`]: what is to be captured, typed, read from Istio's names with what is wrong in them.
//! - [`pod`]: the same from a pod's annotations, environment and security context.
//! - [`host`]: what the files of a network namespace say about its addresses and name servers.
//! - [`model`]: tables, chains, rules, for both packet filters.
//! - [`rules`]: settings → rules, the one place that knows what is captured.
//! - [`iptables`]: rules as `iptables-restore` reads them; `iptables-save` compared, replaced, cleaned.
//! - [`nftables`]: rules as `nft` reads them; its listing compared, replaced, cleaned.
//! - [`standing`]: how what is there stands to what is wanted.
//! - [`routes`]: the addresses, policy rules and routes that stand beside the packet filter;
//!   [`netlink`]: the same as messages of the kernel's.

pub mod host;
pub mod iptables;
pub mod model;
pub mod netlink;
pub mod nftables;
pub mod pod;
pub mod routes;
pub mod rules;
pub mod settings;
pub mod standing;

pub use settings::Settings;
