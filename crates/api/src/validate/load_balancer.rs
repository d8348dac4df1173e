//! Load balancing.

use std::collections::BTreeSet;

use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::networking::{
    ConsistentHashLb, HashAlgorithm, HashKey, HttpCookie, LbPolicy, LoadBalancerSettings,
    LocalityDistribute, LocalityFailover, LocalityLoadBalancerSetting, OutlierDetection,
    WarmupConfiguration, ZoneAwareLoadBalancerSetting,
};

/// The largest Maglev table that Envoy takes.
const MAX_MAGLEV_TABLE: u64 = 5_000_011;

pub(super) fn load_balancer(
    v: &mut Validator,
    settings: &LoadBalancerSettings,
    outlier: Option<&OutlierDetection>,
) {
    if let Some(LbPolicy::ConsistentHash(hash)) = &settings.lb_policy {
        v.field("consistentHash", |v| consistent_hash(v, hash));
    }
    locality(v, settings.locality_lb_setting.as_ref(), outlier);
    zone_aware(v, settings.zone_aware_lb_setting.as_ref(), outlier);
    if settings.locality_lb_setting.is_some() && settings.zone_aware_lb_setting.is_some() {
        v.conflict("zoneAwareLbSetting", "`zoneAwareLbSetting` excludes `localityLbSetting`");
    }
    if let Some(it) = &settings.warmup {
        v.field("warmup", |v| warmup(v, it));
    }
    if let Some(time) = settings.warmup_duration_secs {
        v.check_field("warmupDurationSecs", syntax::duration(time));
        if settings.warmup.is_some() {
            v.conflict("warmupDurationSecs", "`warmupDurationSecs` excludes `warmup`");
        }
    }
}

fn warmup(v: &mut Validator, warmup: &WarmupConfiguration) {
    match warmup.duration {
        Some(time) => v.check_field("duration", syntax::duration(time)),
        None => v.missing("duration", "the time is needed"),
    }
    v.check_field("minimumPercent", syntax::percent(warmup.minimum_percent.unwrap_or(0.0)));
    if warmup.aggression.is_some_and(|aggression| aggression < 1.0) {
        v.check_field("aggression", Err("less than 1".to_owned()));
    }
}

fn consistent_hash(v: &mut Validator, hash: &ConsistentHashLb) {
    match &hash.hash_key {
        None => v.error(Code::MissingField, "what is hashed is needed, such as `httpHeaderName`"),
        Some(HashKey::HttpCookie(it)) => v.field("httpCookie", |v| cookie(v, it)),
        Some(HashKey::HttpHeaderName(name)) => {
            v.check_field("httpHeaderName", syntax::header_name(name));
        }
        Some(HashKey::UseSourceIp(_) | HashKey::HttpQueryParameterName(_)) => {}
    }
    if let Some(HashAlgorithm::Maglev(maglev)) = &hash.hash_algorithm {
        let size = maglev.table_size;
        if size != 0 && (size > MAX_MAGLEV_TABLE || !is_prime(size)) {
            let message = format!("{size} is not a prime of at most {MAX_MAGLEV_TABLE}");
            v.field("maglev", |v| v.check_field("tableSize", Err(message)));
        }
    }
}

fn cookie(v: &mut Validator, cookie: &HttpCookie) {
    if cookie.name.is_empty() {
        v.missing("name", "the cookie needs a name");
    }
    if let Some(ttl) = cookie.ttl
        && ttl.is_negative()
    {
        v.check_field("ttl", Err(format!("{ttl} is less than 0")));
    }
    let mut names = BTreeSet::new();
    v.each("attributes", &cookie.attributes, |v, attribute| {
        if attribute.name.is_empty() {
            v.missing("name", "the attribute needs a name");
        } else if !names.insert(attribute.name.to_ascii_lowercase()) {
            let message = format!("`{}` is set twice", attribute.name);
            v.field("name", |v| v.error(Code::Inconsistent, message));
        }
    });
}

fn is_prime(number: u64) -> bool {
    number > 1 && (2..).take_while(|d| d * d <= number).all(|d| !number.is_multiple_of(d))
}

/// Also for the mesh.
pub(super) fn locality(
    v: &mut Validator,
    setting: Option<&LocalityLoadBalancerSetting>,
    outlier: Option<&OutlierDetection>,
) {
    let Some(setting) = setting else { return };
    v.field("localityLbSetting", |v| {
        if !setting.distribute.is_empty() && !setting.failover.is_empty() {
            v.conflict("failover", "`failover` excludes `distribute`");
        }
        v.each("distribute", &setting.distribute, distribute);
        let sources: Vec<&String> = setting.distribute.iter().map(|it| &it.from).collect();
        v.field("distribute", |v| localities(v, &sources));
        failover(v, &setting.failover, &setting.failover_priority, outlier);
    });
}

fn zone_aware(
    v: &mut Validator,
    setting: Option<&ZoneAwareLoadBalancerSetting>,
    outlier: Option<&OutlierDetection>,
) {
    let Some(setting) = setting else { return };
    v.field("zoneAwareLbSetting", |v| {
        failover(v, &setting.failover, &setting.failover_priority, outlier);
        v.each("failoverPriority", &setting.failover_priority, |v, label| {
            if label.starts_with("topology.istio.io/subzone") {
                v.error(Code::BadValue, "zones are not divided here");
            }
        });
    });
}

fn distribute(v: &mut Validator, distribute: &LocalityDistribute) {
    let mut total = 0_u64;
    v.each_key("to", &distribute.to, |v, _, weight| {
        if *weight == 0 || *weight > 100 {
            v.error(Code::BadValue, format!("{weight} is not between 1 and 100"));
        }
        total += u64::from(*weight);
    });
    if total != 100 {
        v.field("to", |v| {
            v.error(Code::Inconsistent, format!("the shares add up to {total}, not 100"));
        });
    }
    v.field("to", |v| localities(v, &distribute.to.keys().collect::<Vec<_>>()));
}

/// Localities may end in a wildcard, and none may lie within another.
fn localities(v: &mut Validator, localities: &[&String]) {
    let mut before: Vec<Vec<&str>> = Vec::new();
    for locality in localities {
        let parts: Vec<&str> = locality.split('/').collect();
        let wildcard = parts.iter().position(|part| *part == "*");
        let inner_wildcard = wildcard.is_some_and(|at| at + 1 < parts.len());
        if parts.len() > 3 || inner_wildcard || parts.contains(&"") {
            let message = format!("`{locality}` is not `region/zone/subzone` with `*` at the end");
            v.error(Code::BadValue, message);
        }
        let prefix = parts[..wildcard.unwrap_or(parts.len())].to_vec();
        let overlaps = |other: &Vec<&str>| other.starts_with(&prefix) || prefix.starts_with(other);
        if before.iter().any(overlaps) {
            let message = format!("`{locality}` overlaps with another locality");
            v.error(Code::Inconsistent, message);
        }
        before.push(prefix);
    }
}

fn failover(
    v: &mut Validator,
    failover: &[LocalityFailover],
    priority: &[String],
    outlier: Option<&OutlierDetection>,
) {
    v.each("failover", failover, |v, it| {
        if it.from == it.to {
            let message = format!("`{}` cannot stand in for itself", it.from);
            v.field("to", |v| v.error(Code::Inconsistent, message));
        }
        for (name, region) in [("from", &it.from), ("to", &it.to)] {
            if region.contains(['*', '/']) || region.is_empty() {
                v.check_field(name, Err(format!("`{region}` is not a region")));
            }
        }
    });
    let by_region = priority.iter().any(|label| label.starts_with("topology.kubernetes.io/region"));
    if !failover.is_empty() && !priority.is_empty() && by_region {
        v.conflict("failoverPriority", "`failover` already says what becomes of regions");
    }
    let used = !failover.is_empty() || !priority.is_empty();
    if used && outlier.is_none() {
        v.warn(Code::NoEffect, "failover needs `outlierDetection` to notice failures");
    }
}
