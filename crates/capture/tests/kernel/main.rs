//! Whatever the settings are and whatever is there before: what is told to the packet filter makes it
//! have what is wanted, and nothing of others is lost.
//!
//! A small packet filter stands in for the kernel's, since thousands of settings are tried; the tests
//! of `lateen capture` do some of it with the kernel's own.

mod iptables;
mod nftables;
mod settings;

use lateen_capture::Settings;
use lateen_capture::model::Rule;
use lateen_capture::rules::rules;

/// The rules of settings in all families: what counts as ours.
fn known(settings: &Settings) -> Vec<Rule> {
    rules(&Settings { ipv6: true, ..settings.clone() })
}
