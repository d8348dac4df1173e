//! WasmPlugin and TrafficExtension.

use std::collections::BTreeSet;

use super::attachment::attachment;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::extensions::{
    EnvValueSource, FilterConfig, LuaConfig, TrafficExtension, TrafficSelector, VmConfig,
    WasmConfig, WasmPlugin,
};

/// The longest script that Istio takes.
const MAX_SCRIPT: usize = 64 * 1024;
const MAX_PLUGIN_NAME: usize = 255;
const SCHEMES: [&str; 4] = ["file", "http", "https", "oci"];

pub(super) fn wasm_plugin(v: &mut Validator, plugin: &WasmPlugin) {
    attachment(v, plugin.selector.as_ref(), plugin.target_ref.as_ref(), &plugin.target_refs);
    module(v, &plugin.url, &plugin.sha256, &plugin.plugin_name, plugin.vm_config.as_ref());
    v.each("match", &plugin.r#match, traffic_selector);
}

pub(super) fn traffic_extension(v: &mut Validator, extension: &TrafficExtension) {
    attachment(v, extension.selector.as_ref(), None, &extension.target_refs);
    v.each("match", &extension.r#match, traffic_selector);
    match &extension.filter_config {
        Some(FilterConfig::Wasm(it)) => v.field("wasm", |v| wasm(v, it)),
        Some(FilterConfig::Lua(it)) => v.field("lua", |v| lua(v, it)),
        None => v.error(Code::MissingField, "one of `wasm` and `lua` is needed"),
    }
}

fn wasm(v: &mut Validator, wasm: &WasmConfig) {
    module(v, &wasm.url, &wasm.sha256, &wasm.plugin_name, wasm.vm_config.as_ref());
}

fn lua(v: &mut Validator, lua: &LuaConfig) {
    if lua.inline_code.is_empty() {
        v.missing("inlineCode", "the script is needed");
    }
    if lua.inline_code.len() > MAX_SCRIPT {
        let message = format!("{} bytes are more than {MAX_SCRIPT}", lua.inline_code.len());
        v.check_field("inlineCode", Err(message));
    }
}

/// A module in WebAssembly, and how it is started.
fn module(v: &mut Validator, url: &str, sha256: &str, name: &str, vm: Option<&VmConfig>) {
    if url.is_empty() {
        v.missing("url", "the module is needed");
    } else {
        v.check_field("url", module_url(url));
    }
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digest = sha256.len() == 64 && sha256.bytes().all(hex);
    if !sha256.is_empty() && !digest {
        let message = format!("`{sha256}` is not 64 digits of lower-case hexadecimal");
        v.check_field("sha256", Err(message));
    }
    if name.len() > MAX_PLUGIN_NAME {
        let message = format!("{} characters are more than {MAX_PLUGIN_NAME}", name.len());
        v.check_field("pluginName", Err(message));
    }
    if let Some(vm) = vm {
        v.field("vmConfig", |v| environment(v, vm));
    }
}

/// An image without a scheme, or a URL with one that is known.
fn module_url(url: &str) -> syntax::Check {
    match url.split_once("://") {
        Some((scheme, _)) if !SCHEMES.contains(&scheme) => {
            Err(format!("`{scheme}` is not one of {}", SCHEMES.join(", ")))
        }
        Some((_, "")) => Err(format!("`{url}` names no module")),
        _ if url.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Err(format!("`{url}` is not a URL"))
        }
        _ => Ok(()),
    }
}

fn environment(v: &mut Validator, vm: &VmConfig) {
    let mut names = BTreeSet::new();
    v.each("env", &vm.env, |v, variable| {
        if variable.name.is_empty() {
            v.missing("name", "the variable needs a name");
        } else if !names.insert(variable.name.clone()) {
            let message = format!("`{}` is set twice", variable.name);
            v.field("name", |v| v.error(Code::Inconsistent, message));
        }
        if variable.value_from == EnvValueSource::Host && !variable.value.is_empty() {
            v.conflict("value", "the value comes from the proxy's own environment");
        }
    });
}

fn traffic_selector(v: &mut Validator, selector: &TrafficSelector) {
    v.each("ports", &selector.ports, |v, port| {
        v.check_field("number", syntax::port(port.number));
    });
}
