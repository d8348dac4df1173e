//! One scrape gives the metrics of the proxy and those of the application: the pod's annotations name
//! the proxy's status port, and the proxy is told in `ISTIO_PROMETHEUS_ANNOTATIONS` where the
//! application's are.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::json::{annotation, members, named, switch};
use crate::names;

/// Ports of the proxy itself: to scrape one of them as the application's would never end.
const RESERVED: [u16; 9] = [15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090];

/// Where the proxy answers with the metrics of both.
const MERGED_PATH: &str = "/stats/prometheus";

const KEYS: [(&str, &str); 3] = [
    ("prometheus_io_scrape", "scrape"),
    ("prometheus_io_path", "path"),
    ("prometheus_io_port", "port"),
];

/// Which of the three an annotation is: Prometheus' relabelling takes every character but letters and
/// digits for an underscore.
fn key(name: &str) -> Option<&'static str> {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    KEYS.into_iter().find_map(|(known, key)| (plain == known).then_some(key))
}

/// What the pod says to Prometheus: `scrape`, `path`, `port`.
fn said(pod: &Value) -> Map<String, Value> {
    let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    annotations.filter_map(|(name, value)| Some((key(name)?.to_owned(), value.clone()))).collect()
}

fn clear(pod: &mut Value) {
    members(&mut pod["metadata"], "annotations").retain(|name, _| key(name).is_none());
}

/// Has the pod scraped at the proxy's `port`; gives what the proxy is to be told, if there is
/// anything. Nothing happens where the mesh or the pod does not want it.
pub(crate) fn merge(pod: &mut Value, mesh_wants: bool, port: u16) -> Result<Option<String>, Error> {
    let said = said(pod);
    let scraped = said.get("scrape").and_then(Value::as_str).and_then(switch).unwrap_or(true);
    let merged = annotation(pod, names::MERGE_METRICS).and_then(switch).unwrap_or(mesh_wants);
    if !scraped || !merged {
        return Ok(None);
    }
    let asked = said.get("port").and_then(Value::as_str).unwrap_or_default();
    if asked == port.to_string() {
        return Ok(None);
    }
    if asked.parse().is_ok_and(|asked: u16| RESERVED.contains(&asked)) {
        let fault =
            "is a port of the proxy itself; name the application's, or leave the annotation out";
        return Err(Error::setting("the annotation prometheus.io/port", asked, fault));
    }
    clear(pod);
    let annotations = members(&mut pod["metadata"], "annotations");
    annotations.insert("prometheus.io/port".to_owned(), json!(port.to_string()));
    annotations.insert("prometheus.io/path".to_owned(), json!(MERGED_PATH));
    annotations.insert("prometheus.io/scrape".to_owned(), json!("true"));
    Ok((!said.is_empty()).then(|| Value::Object(said).to_string()))
}

/// Undoes [`merge`]: the annotations say again what the proxy was told.
pub(crate) fn restore(pod: &mut Value, port: u16) {
    let said = said(pod);
    let says = |key: &str, value: &str| said.get(key).and_then(Value::as_str) == Some(value);
    if !says("port", &port.to_string()) || !says("path", MERGED_PATH) {
        return;
    }
    let told = ["containers", "initContainers"].into_iter().find_map(|field| {
        let proxy = named(crate::json::items(&pod["spec"], field), names::PROXY)?;
        named(crate::json::items(proxy, "env"), names::PROMETHEUS)?["value"].as_str()
    });
    let told: Map<String, Value> =
        told.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    clear(pod);
    let annotations = members(&mut pod["metadata"], "annotations");
    for (key, value) in told {
        annotations.insert(format!("prometheus.io/{key}"), value);
    }
}
