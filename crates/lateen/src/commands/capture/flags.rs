//! The flags of Istio's redirect tool, and the variables that stand in for them.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use lateen_capture::host;
use lateen_capture::settings::{Key, Written, switch};

use super::machine;

/// A flag with a value.
struct Valued {
    key: Key,
    short: char,
    long: &'static str,
    help: &'static str,
}

const fn valued(key: Key, short: char, long: &'static str, help: &'static str) -> Valued {
    Valued { key, short, long, help }
}

const VALUED: [Valued; 16] = [
    valued(
        Key::ProxyPort,
        'p',
        "envoy-port",
        "The proxy's port for what the workload sends [15001]",
    ),
    valued(
        Key::InboundCapturePort,
        'z',
        "inbound-capture-port",
        "The proxy's port for what arrives [15006]",
    ),
    valued(
        Key::InboundTunnelPort,
        'e',
        "inbound-tunnel-port",
        "The port of HBONE, which is left alone [15008]",
    ),
    valued(Key::ProxyUid, 'u', "proxy-uid", "Users whose traffic is the proxy's own [1337]"),
    valued(Key::ProxyGid, 'g', "proxy-gid", "Groups whose traffic is the proxy's own [as -u]"),
    valued(
        Key::InboundInterceptionMode,
        'm',
        "istio-inbound-interception-mode",
        "REDIRECT or TPROXY [REDIRECT]",
    ),
    valued(
        Key::InboundPortsInclude,
        'b',
        "istio-inbound-ports",
        "Inbound ports to capture, * for all [none]",
    ),
    valued(
        Key::InboundPortsExclude,
        'd',
        "istio-local-exclude-ports",
        "Inbound ports to leave alone, where all are captured",
    ),
    valued(Key::ExcludeInterfaces, 'c', "istio-exclude-interfaces", "Interfaces to leave alone"),
    valued(
        Key::OutboundIpRangesInclude,
        'i',
        "istio-service-cidr",
        "Addresses to which traffic is captured, * for all [none]",
    ),
    valued(
        Key::OutboundIpRangesExclude,
        'x',
        "istio-service-exclude-cidr",
        "Addresses to which traffic is left alone",
    ),
    valued(
        Key::OutboundPortsInclude,
        'q',
        "istio-outbound-ports",
        "Ports to which traffic is captured whatever the address is",
    ),
    valued(
        Key::OutboundPortsExclude,
        'o',
        "istio-local-outbound-ports-exclude",
        "Ports to which traffic is left alone whatever the address is",
    ),
    valued(
        Key::RerouteVirtualInterfaces,
        'k',
        "kube-virt-interfaces",
        "Interfaces of virtual machines, whose traffic counts as outbound",
    ),
    valued(
        Key::InboundTproxyMark,
        't',
        "istio-inbound-tproxy-mark",
        "The mark of TPROXY mode [1337]",
    ),
    valued(
        Key::InboundTproxyRouteTable,
        'r',
        "istio-inbound-tproxy-route-table",
        "The routing table of TPROXY mode [133]",
    ),
];

/// A flag that is on or off.
struct Toggle {
    /// `None` for what is no setting of the rules.
    key: Option<Key>,
    long: &'static str,
    /// A further variable that stands in for it.
    variable: Option<&'static str>,
    help: &'static str,
}

const DUAL_STACK: &str = "dual-stack";
const NATIVE_NFTABLES: &str = "native-nftables";

const TOGGLES: [Toggle; 6] = [
    Toggle {
        key: Some(Key::RedirectDns),
        long: "redirect-dns",
        variable: Some("ISTIO_META_DNS_CAPTURE"),
        help: "Questions to the name servers of /etc/resolv.conf go to the agent",
    },
    Toggle {
        key: Some(Key::CaptureAllDns),
        long: "capture-all-dns",
        variable: None,
        help: "With --redirect-dns: those to all other name servers, too",
    },
    Toggle {
        key: Some(Key::DropInvalid),
        long: "drop-invalid",
        variable: Some("INVALID_DROP"),
        help: "Drop packets that belong to no connection instead of answering with a reset",
    },
    Toggle {
        key: Some(Key::EnableIpv6),
        long: "enable-ipv6",
        variable: None,
        help: "Capture IPv6, or not, whatever addresses the machine has",
    },
    Toggle {
        key: None,
        long: DUAL_STACK,
        variable: Some("ISTIO_DUAL_STACK"),
        help: "Capture IPv6 where the machine has addresses of both families",
    },
    Toggle {
        key: None,
        long: NATIVE_NFTABLES,
        variable: None,
        help: "Write the rules with nft, not with iptables-restore",
    },
];

/// Settings that have a variable only.
const VARIABLES: [(&str, Key); 3] = [
    ("ISTIO_OUTBOUND_OWNER_GROUPS", Key::OwnerGroupsInclude),
    ("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", Key::OwnerGroupsExclude),
    ("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", Key::HostIpv4LoopbackCidr),
];

/// What was given of them: the setting's place, its origin, its text.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags {
    settings: Vec<(Key, String, String)>,
    dual_stack: bool,
    native_nftables: bool,
}

impl Flags {
    /// What was written, completed with what the machine says where nothing was.
    pub(super) fn written(&self) -> anyhow::Result<Written> {
        let mut written = Written::default();
        for (key, origin, text) in &self.settings {
            written.set(*key, origin, text);
        }
        let text = |key: Key| {
            self.settings.iter().find(|(known, ..)| *known == key).map(|(_, _, text)| text.as_str())
        };
        let on = |key: Key| text(key).and_then(switch).unwrap_or(false);
        if text(Key::EnableIpv6).is_none() {
            let ipv6 = machine::ipv6(self.dual_stack);
            written.set(Key::EnableIpv6, "addresses", ipv6.to_string());
        }
        if on(Key::RedirectDns) && !on(Key::CaptureAllDns) {
            let (v4, v6) = host::name_servers(&machine::resolv_conf()?);
            written.set(Key::DnsServersV4, "/etc/resolv.conf", joined(&v4));
            written.set(Key::DnsServersV6, "/etc/resolv.conf", joined(&v6));
        }
        Ok(written)
    }

    /// Whether nft is to be used.
    pub(super) fn native_nftables(&self) -> bool {
        self.native_nftables
    }
}

fn joined<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Args for Flags {
    fn augment_args(mut command: Command) -> Command {
        for flag in &VALUED {
            command = command.arg(
                Arg::new(flag.long)
                    .short(flag.short)
                    .long(flag.long)
                    .value_name("VALUE")
                    .help(flag.help)
                    .overrides_with(flag.long)
                    .action(ArgAction::Set),
            );
        }
        for toggle in &TOGGLES {
            command = command.arg(
                Arg::new(toggle.long)
                    .long(toggle.long)
                    .value_name("BOOL")
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .help(toggle.help)
                    .overrides_with(toggle.long)
                    .action(ArgAction::Set),
            );
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for flag in &VALUED {
            if let Some((origin, text)) = given(matches, flag.long, None) {
                self.settings.push((flag.key, origin, text));
            }
        }
        for toggle in &TOGGLES {
            let Some((origin, text)) = given(matches, toggle.long, toggle.variable) else {
                continue;
            };
            if let Some(key) = toggle.key {
                self.settings.push((key, origin, text));
                continue;
            }
            let on = switch(&text).ok_or_else(|| {
                let message = format!("{origin}: {text:?} is neither true nor false\n");
                clap::Error::raw(clap::error::ErrorKind::InvalidValue, message)
            })?;
            match toggle.long {
                DUAL_STACK => self.dual_stack = on,
                _ => self.native_nftables = on,
            }
        }
        for (variable, key) in VARIABLES {
            if let Some(text) = from_environment(variable) {
                self.settings.push((key, variable.to_owned(), text));
            }
        }
        Ok(())
    }
}

/// A flag's text with its origin: the command line, the variable of its name, another variable.
fn given(matches: &ArgMatches, long: &str, other: Option<&str>) -> Option<(String, String)> {
    if let Some(text) = matches.get_one::<String>(long) {
        return Some((format!("--{long}"), text.clone()));
    }
    let named = long.to_uppercase().replace('-', "_");
    [Some(named.as_str()), other]
        .into_iter()
        .flatten()
        .find_map(|variable| Some((variable.to_owned(), from_environment(variable)?)))
}

/// A variable that says something.
fn from_environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|text| !text.is_empty())
}
