//! From what was written to settings.

use std::collections::BTreeMap;

use super::problem::{Fault, Notice, Problem, Problems};
use super::value::{self, Wrong};
use super::{Dns, InboundPorts, Key, OwnerGroups, Settings, TPROXY_OUTBOUND_MARK, UNSUPPORTED};

/// What somebody wrote, by setting, each with where it stands. A value that is empty counts as not
/// written, but for lists, where it is the empty list.
#[derive(Debug, Clone, Default)]
pub struct Written {
    values: BTreeMap<Key, Value>,
    notices: Vec<Notice>,
}

#[derive(Debug, Clone)]
struct Value {
    origin: String,
    text: String,
}

/// Settings, with what there is to say about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The settings.
    pub settings: Settings,
    /// What was written and has no effect, or another than it seems.
    pub notices: Vec<Notice>,
}

impl Written {
    /// Takes a value; `origin` names the place in the words of its source. A later value replaces an
    /// earlier one.
    pub fn set(&mut self, key: Key, origin: impl Into<String>, text: impl Into<String>) {
        self.values.insert(key, Value { origin: origin.into(), text: text.into() });
    }

    /// Takes a value under its name in the configuration of Istio's redirect tool. A name that is
    /// none of a setting leaves a notice.
    pub fn set_named(&mut self, name: &str, text: impl Into<String>) {
        if let Some(key) = Key::named(name) {
            return self.set(key, name, text);
        }
        let origin = name.to_owned();
        let unsupported = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name);
        self.notices.push(match unsupported {
            Some((_, why)) => Notice::Unsupported { origin, why },
            None => Notice::Unknown { origin },
        });
    }

    /// Adds something that its source found worth saying.
    pub fn note(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Makes settings of all that was written; what was not written has Istio's default.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(self) -> Result<Outcome, Problems> {
        let mut reader =
            Reader { values: self.values, notices: self.notices, problems: Vec::new() };
        let settings = reader.settings();
        if reader.problems.is_empty() {
            Ok(Outcome { settings, notices: reader.notices })
        } else {
            Err(Problems(reader.problems))
        }
    }
}

struct Reader {
    values: BTreeMap<Key, Value>,
    notices: Vec<Notice>,
    problems: Vec<Problem>,
}

impl Reader {
    fn settings(&mut self) -> Settings {
        let mut settings = Settings::default();
        self.one(Key::ProxyPort, &mut settings.outbound_port, value::port);
        self.one(Key::InboundCapturePort, &mut settings.inbound_port, value::port);
        self.one(Key::InboundTunnelPort, &mut settings.tunnel_port, value::port);
        self.owners(&mut settings);
        self.one(Key::InboundInterceptionMode, &mut settings.mode, value::mode);
        self.one(Key::InboundTproxyMark, &mut settings.tproxy_mark, |text| {
            value::mark(text, TPROXY_OUTBOUND_MARK)
        });
        self.one(
            Key::InboundTproxyRouteTable,
            &mut settings.tproxy_route_table,
            value::route_table,
        );
        self.inbound_ports(&mut settings);
        self.list(Key::OutboundPortsInclude, &mut settings.outbound_ports, value::ports);
        self.list(Key::OutboundPortsExclude, &mut settings.outbound_ports_excluded, value::ports);
        self.list(Key::OutboundIpRangesInclude, &mut settings.outbound_ranges, value::ranges);
        self.list(
            Key::OutboundIpRangesExclude,
            &mut settings.outbound_ranges_excluded,
            value::excluded_ranges,
        );
        self.list(
            Key::RerouteVirtualInterfaces,
            &mut settings.interfaces_rerouted,
            value::interfaces,
        );
        self.list(Key::ExcludeInterfaces, &mut settings.interfaces_excluded, value::interfaces);
        self.owner_groups(&mut settings);
        settings.dns = self.dns();
        self.one(Key::DropInvalid, &mut settings.drop_invalid, switch);
        self.one(Key::EnableIpv6, &mut settings.ipv6, switch);
        self.one(Key::HostIpv4LoopbackCidr, &mut settings.loopback, value::loopback);
        settings
    }

    /// A setting with one value.
    fn one<T>(&mut self, key: Key, into: &mut T, parse: impl FnOnce(&str) -> Result<T, Fault>) {
        let Some(value) = self.values.get(&key) else { return };
        let text = value.text.trim();
        if text.is_empty() {
            return;
        }
        match parse(text) {
            Ok(parsed) => *into = parsed,
            Err(fault) => self.problem(key, (text.to_owned(), fault)),
        }
    }

    /// A setting with a list, for which nothing is a value, too.
    fn list<T>(&mut self, key: Key, into: &mut T, parse: impl FnOnce(&str) -> Result<T, Wrong>) {
        let Some(value) = self.values.get(&key) else { return };
        match parse(&value.text) {
            Ok(parsed) => *into = parsed,
            Err(wrong) => self.problem(key, wrong),
        }
    }

    /// The proxy's users and groups: neither may be nobody, and groups are as the users if not said.
    fn owners(&mut self, settings: &mut Settings) {
        let mut users = Vec::new();
        self.list(Key::ProxyUid, &mut users, value::numbers);
        if !users.is_empty() {
            settings.proxy_groups.clone_from(&users);
            settings.proxy_users = users;
        }
        let mut groups = Vec::new();
        self.list(Key::ProxyGid, &mut groups, value::numbers);
        if !groups.is_empty() {
            settings.proxy_groups = groups;
        }
    }

    fn inbound_ports(&mut self, settings: &mut Settings) {
        let mut except = Vec::new();
        self.list(Key::InboundPortsExclude, &mut except, value::ports);
        let excluded = !except.is_empty();
        self.list(Key::InboundPortsInclude, &mut settings.inbound_ports, |text| {
            value::inbound_ports(text, except)
        });
        if excluded && matches!(settings.inbound_ports, InboundPorts::Only(_)) {
            self.without_effect(
                Key::InboundPortsExclude,
                "inbound ports are excluded only where all of them (*) are included",
            );
        }
    }

    fn owner_groups(&mut self, settings: &mut Settings) {
        let mut except = Vec::new();
        self.list(Key::OwnerGroupsExclude, &mut except, value::groups);
        let excluded = !except.is_empty();
        settings.owner_groups = OwnerGroups::All { except: except.clone() };
        self.list(Key::OwnerGroupsInclude, &mut settings.owner_groups, |text| {
            value::owner_groups(text, except)
        });
        if excluded && matches!(settings.owner_groups, OwnerGroups::Only(_)) {
            self.without_effect(
                Key::OwnerGroupsExclude,
                "groups are excluded only where all of them (*) are included",
            );
        }
    }

    fn dns(&mut self) -> Dns {
        let (mut redirect, mut all) = (false, false);
        self.one(Key::RedirectDns, &mut redirect, switch);
        self.one(Key::CaptureAllDns, &mut all, switch);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        self.list(Key::DnsServersV4, &mut v4, |text| value::addresses(text, 4));
        self.list(Key::DnsServersV6, &mut v6, |text| value::addresses(text, 6));
        match (redirect, all) {
            (true, true) => Dns::All,
            (true, false) if v4.is_empty() && v6.is_empty() => {
                self.without_effect(Key::RedirectDns, "no name server is known");
                Dns::Uncaptured
            }
            (true, false) => Dns::Servers { v4, v6 },
            (false, true) => {
                self.without_effect(
                    Key::CaptureAllDns,
                    "questions to name servers are not redirected",
                );
                Dns::Uncaptured
            }
            (false, false) => Dns::Uncaptured,
        }
    }

    fn origin(&self, key: Key) -> String {
        self.values.get(&key).map_or_else(|| key.name().to_owned(), |value| value.origin.clone())
    }

    fn problem(&mut self, key: Key, (value, fault): Wrong) {
        self.problems.push(Problem { origin: self.origin(key), value, fault });
    }

    fn without_effect(&mut self, key: Key, why: &'static str) {
        self.notices.push(Notice::WithoutEffect { origin: self.origin(key), why });
    }
}

fn switch(text: &str) -> Result<bool, Fault> {
    value::switch(text).ok_or(Fault::Switch)
}
