//! A scenario from its folder, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{Exchange, Expect, FieldName, Place, Scenario, json_of_yaml};

/// Name of the file with the exchanges.
pub const EXCHANGES: &str = "exchanges.yaml";
/// Name of the folder with the mesh.
pub const MESH: &str = "mesh";

impl Scenario {
    /// Reads a folder with `exchanges.yaml` and `mesh/*.yaml`.
    ///
    /// # Errors
    /// When something is missing, is not of the schema, or makes no sense; with file and exchange.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(EXCHANGES);
        let read = || -> anyhow::Result<Self> {
            let text = std::fs::read_to_string(&file)?;
            let mut scenario = Self::from_yaml(&text)?;
            scenario.mesh = mesh(&folder.join(MESH))?;
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            ensure!(
                scenario.name == name,
                "its name is `{}`, its folder's `{name}`",
                scenario.name
            );
            Ok(scenario)
        };
        read().with_context(|| file.display().to_string())
    }

    /// Reads the text of `exchanges.yaml`.
    ///
    /// # Errors
    /// When it is not of the schema or makes no sense.
    pub fn from_yaml(text: &str) -> anyhow::Result<Self> {
        let mut tree = json_of_yaml(text)?;
        numbers_to_text(&mut tree);
        // Each exchange by itself, so that an error can say which one it is about.
        let list = match tree.get_mut("exchanges") {
            Some(Value::Array(list)) => std::mem::take(list),
            _ => bail!("`exchanges` is no list"),
        };
        let mut scenario: Self = serde_json::from_value(tree)?;
        for (index, value) in list.into_iter().enumerate() {
            let name = value["name"].as_str().unwrap_or("without a name").to_owned();
            let exchange = serde_json::from_value(value)
                .with_context(|| format!("exchanges[{index}] ({name})"))?;
            scenario.exchanges.push(exchange);
        }
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether it makes sense beyond the schema.
    ///
    /// # Errors
    /// When it does not, with the exchange.
    pub fn check(&self) -> anyhow::Result<()> {
        let honoured = FieldName::honoured();
        for field in &self.fields {
            ensure!(honoured.contains(field), "fields: `{field}` is no honoured field");
        }
        ensure!(!self.exchanges.is_empty(), "there are no exchanges");
        let mut names = BTreeSet::new();
        for exchange in &self.exchanges {
            check(exchange).with_context(|| format!("exchange `{}`", exchange.name))?;
            ensure!(names.insert(&exchange.name), "two exchanges are named `{}`", exchange.name);
        }
        Ok(())
    }
}

fn check(exchange: &Exchange) -> anyhow::Result<()> {
    let to = &exchange.to;
    match (exchange.place, &to.service, to.port, to.address) {
        (_, None, None, Some(_))
        | (Place::Outbound, Some(_), Some(_), None)
        | (Place::Inbound | Place::Gateway, None, Some(_), None) => {}
        (Place::Outbound, ..) => bail!("`to` is `service` and `port`, or `address`"),
        _ => bail!("`to` is `port`, or `address`"),
    }
    ensure!(
        exchange.requests.is_empty() == exchange.bytes.is_some(),
        "an exchange has either `requests` or `bytes`"
    );
    if let Some(tls) = &exchange.tls {
        ensure!(
            tls.identity.is_none() || tls.certificate.is_none(),
            "a client has an `identity` or a `certificate`, not both"
        );
    }
    for (name, behaviours) in &exchange.backends {
        ensure!(!behaviours.is_empty(), "backend `{name}` has no behaviour");
        for behaviour in behaviours {
            lines(&behaviour.headers)?;
            lines(&behaviour.trailers)?;
        }
    }
    for request in &exchange.requests {
        lines(&request.headers)?;
        lines(&request.trailers)?;
        expectation(&request.expect, request.times, request.chance)?;
        varies(&request.varies)?;
        ensure!(request.expect.receive.is_none(), "`receive` is for `bytes`");
    }
    if let Some(bytes) = &exchange.bytes {
        expectation(&bytes.expect, bytes.times, bytes.chance)?;
        ensure!(bytes.expect.status.is_none(), "`status` is for `requests`");
    }
    Ok(())
}

fn expectation(expect: &Expect, times: u32, chance: bool) -> anyhow::Result<()> {
    ensure!(times > 0, "`times` is at least 1");
    for alone in expect.native.iter().chain(&expect.envoy) {
        ensure!(
            alone.distribution.is_empty() && alone.turns.is_none(),
            "`distribution` and `turns` hold for both sides"
        );
        ensure!(
            alone.native.is_none() && alone.envoy.is_none(),
            "what is expected of one side stands within `expect`"
        );
    }
    if !expect.distribution.is_empty() {
        ensure!(chance && times > 1, "a `distribution` needs `chance: true` and `times`");
        ensure!(
            expect.distribution.values().all(|weight| *weight >= 0.0)
                && expect.distribution.values().sum::<f64>() > 0.0,
            "the weights of a `distribution` are numbers from 0, not all 0"
        );
    }
    Ok(())
}

/// What chance or the clock decides may differ; what a user relies on may not.
fn varies(varies: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for (about, why) in varies {
        let header = about.strip_prefix("seen header ").or_else(|| about.strip_prefix("header "));
        let fits = matches!(about.as_str(), "attempts" | "log flags" | "log details")
            || header.is_some_and(|name| name.starts_with("x-envoy-"));
        ensure!(
            fits,
            "`{about}` may not vary; what may: `attempts`, `log flags`, `log details`, \
             `header x-envoy-…`, `seen header x-envoy-…`"
        );
        ensure!(why.contains(' '), "`varies: {about}` needs a reason");
    }
    Ok(())
}

/// Headers are written as `name: value`.
fn lines(headers: &[String]) -> anyhow::Result<()> {
    for header in headers {
        ensure!(header.contains(':'), "`{header}` is no header like `name: value`");
    }
    Ok(())
}

/// Header values, bodies and versions may be written without quotes.
fn numbers_to_text(tree: &mut Value) {
    const TEXTS: &[&str] = &["http", "version", "body", "send", "receive", "first", "sni"];
    const MAPS: &[&str] = &["headers", "response_headers", "response_trailers", "log"];
    fn text(value: &mut Value) {
        match value {
            Value::Number(number) => *value = number.to_string().into(),
            Value::Bool(flag) => *value = flag.to_string().into(),
            Value::Array(items) => items.iter_mut().for_each(text),
            _ => {}
        }
    }
    match tree {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::Object(values) if MAPS.contains(&key.as_str()) => {
                        values.values_mut().for_each(text);
                    }
                    Value::Number(_) | Value::Bool(_) if TEXTS.contains(&key.as_str()) => {
                        text(value);
                    }
                    _ => numbers_to_text(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(numbers_to_text),
        _ => {}
    }
}

fn mesh(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        ensure!(name.ends_with(".yaml"), "{} is no .yaml file", path.display());
        files.insert(name, std::fs::read_to_string(&path)?);
    }
    ensure!(!files.is_empty(), "{} has no .yaml file", folder.display());
    Ok(files)
}
