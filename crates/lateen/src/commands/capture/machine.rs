//! What settings leave to the machine to say.

use anyhow::Context;
use lateen_capture::Settings;
use lateen_capture::host;
use lateen_capture::settings::Problems;

/// Whether IPv6 is captured where nothing is said about it: as Istio, only where there is no IPv4, or
/// where both are asked for.
pub(in crate::commands) fn ipv6(dual_stack: bool) -> bool {
    // Without such a file the kernel does not have the family.
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let v4 = host::has_ipv4_address(&text("/proc/thread-self/net/fib_trie"));
    let v6 = host::has_ipv6_address(&text("/proc/thread-self/net/if_inet6"));
    if v4 && v6 && !dual_stack {
        eprintln!("lateen: note: IPv6 is not captured: --dual-stack is not given");
    }
    v6 && (dual_stack || !v4)
}

/// The name servers that applications ask.
pub(super) fn resolv_conf() -> anyhow::Result<String> {
    let path = "/etc/resolv.conf";
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// The settings with numbers for names of groups: numbers are what the packet filter gives back.
pub(in crate::commands) fn numbered(settings: Settings) -> Result<Settings, Problems> {
    // Without the file there are no names.
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    settings.with_group_numbers(|name| host::group_number(&groups, name))
}
