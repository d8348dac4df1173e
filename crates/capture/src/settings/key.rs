//! The names of the settings: Istio's.

/// A setting of the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The proxy's port for what the workload sends.
    ProxyPort,
    /// The proxy's port for what arrives.
    InboundCapturePort,
    /// The port of HBONE.
    InboundTunnelPort,
    /// Users of the proxy.
    ProxyUid,
    /// Groups of the proxy; without any the numbers of its users.
    ProxyGid,
    /// REDIRECT or TPROXY.
    InboundInterceptionMode,
    /// The mark of TPROXY mode.
    InboundTproxyMark,
    /// The routing table of TPROXY mode.
    InboundTproxyRouteTable,
    /// Inbound ports that are captured, `*` for all.
    InboundPortsInclude,
    /// Inbound ports that are not.
    InboundPortsExclude,
    /// Outbound ports that are captured.
    OutboundPortsInclude,
    /// Outbound ports that are not.
    OutboundPortsExclude,
    /// Outbound addresses that are captured, `*` for all.
    OutboundIpRangesInclude,
    /// Outbound addresses that are not.
    OutboundIpRangesExclude,
    /// Interfaces of virtual machines, whose inbound traffic counts as outbound.
    RerouteVirtualInterfaces,
    /// Interfaces that are not captured.
    ExcludeInterfaces,
    /// Groups whose outbound traffic is captured, `*` for all.
    OwnerGroupsInclude,
    /// Groups whose outbound traffic is not.
    OwnerGroupsExclude,
    /// Whether questions to name servers go to the agent.
    RedirectDns,
    /// Whether all of them do, not only those to known servers.
    CaptureAllDns,
    /// The known servers' IPv4 addresses.
    DnsServersV4,
    /// The known servers' IPv6 addresses.
    DnsServersV6,
    /// Whether packets of no connection are dropped.
    DropInvalid,
    /// Whether IPv6 is captured.
    EnableIpv6,
    /// Addresses of conversations within the pod.
    HostIpv4LoopbackCidr,
}

/// Names of Istio's redirect tool that are no settings of the rules, and what stands in their place.
pub const UNSUPPORTED: [(&str, &str); 13] = [
    ("dryRun", "it does not influence the rules; `lateen capture print` applies nothing"),
    ("dualStack", "say enableIPv6"),
    ("networkNamespace", "the rules are those of the namespace that the command runs in"),
    ("hostFilesystemPodNetwork", "the rules are those of the namespace that the command runs in"),
    ("nativeNftables", "it chooses the packet filter, not the rules"),
    ("forceIptablesBinary", "the programs are those in the search path"),
    ("iptablesProbePort", "a check compares the rules themselves"),
    ("probeTimeout", "a check compares the rules themselves"),
    ("skipRuleApply", "say `lateen capture check`"),
    ("runValidation", "say `lateen capture check`"),
    ("cleanupOnly", "say `lateen capture clean`"),
    ("reconcile", "rules that differ are always replaced"),
    ("forceApply", "rules that differ are always replaced"),
];

impl Key {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::ProxyPort,
        Self::InboundCapturePort,
        Self::InboundTunnelPort,
        Self::ProxyUid,
        Self::ProxyGid,
        Self::InboundInterceptionMode,
        Self::InboundTproxyMark,
        Self::InboundTproxyRouteTable,
        Self::InboundPortsInclude,
        Self::InboundPortsExclude,
        Self::OutboundPortsInclude,
        Self::OutboundPortsExclude,
        Self::OutboundIpRangesInclude,
        Self::OutboundIpRangesExclude,
        Self::RerouteVirtualInterfaces,
        Self::ExcludeInterfaces,
        Self::OwnerGroupsInclude,
        Self::OwnerGroupsExclude,
        Self::RedirectDns,
        Self::CaptureAllDns,
        Self::DnsServersV4,
        Self::DnsServersV6,
        Self::DropInvalid,
        Self::EnableIpv6,
        Self::HostIpv4LoopbackCidr,
    ];

    /// The name in the configuration of Istio's redirect tool.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProxyPort => "proxyPort",
            Self::InboundCapturePort => "inboundCapturePort",
            Self::InboundTunnelPort => "inboundTunnelPort",
            Self::ProxyUid => "proxyUID",
            Self::ProxyGid => "proxyGID",
            Self::InboundInterceptionMode => "inboundInterceptionMode",
            Self::InboundTproxyMark => "inboundTProxyMark",
            Self::InboundTproxyRouteTable => "inboundTProxyRouteTable",
            Self::InboundPortsInclude => "inboundPortsInclude",
            Self::InboundPortsExclude => "inboundPortsExclude",
            Self::OutboundPortsInclude => "outboundPortsInclude",
            Self::OutboundPortsExclude => "outboundPortsExclude",
            Self::OutboundIpRangesInclude => "outboundIPRangesInclude",
            Self::OutboundIpRangesExclude => "outboundIPRangesExclude",
            Self::RerouteVirtualInterfaces => "rerouteVirtualInterfaces",
            Self::ExcludeInterfaces => "excludeInterfaces",
            Self::OwnerGroupsInclude => "ownerGroupsInclude",
            Self::OwnerGroupsExclude => "ownerGroupsExclude",
            Self::RedirectDns => "redirectDNS",
            Self::CaptureAllDns => "captureAllDNS",
            Self::DnsServersV4 => "dnsServersV4",
            Self::DnsServersV6 => "dnsServersV6",
            Self::DropInvalid => "dropInvalid",
            Self::EnableIpv6 => "enableIPv6",
            Self::HostIpv4LoopbackCidr => "hostIPv4LoopbackCidr",
        }
    }

    /// The setting of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}
