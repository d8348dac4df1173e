//! From the objects of a case to the plan that a proxy would run on.

use std::sync::Arc;

use lateen_api::{Kind, Object, Severity};
use lateen_compiler::{Change, Client, Compiler, Options, Output};
use lateen_engine::{Cut, Plan, Resources};
use lateen_mesh::name::Name;
use lateen_mesh::v1;
use serde_json::{Value, json};

/// The objects of a case, read as if from files.
#[derive(Debug, Default)]
pub struct Objects {
    objects: Vec<Object>,
    /// What objects use that is not honoured yet.
    pub not_honoured: Vec<String>,
    /// Objects that are refused, and why.
    pub refused: Vec<String>,
}

impl Objects {
    /// Reads one object. Those without a namespace are in `default`.
    pub fn add(&mut self, value: &Value) {
        let parsed = lateen_api::parse(&value.to_string(), "case");
        for diagnostic in &parsed.diagnostics {
            if diagnostic.severity == Severity::Error {
                self.refused.push(diagnostic.to_string());
            }
        }
        for object in parsed.objects {
            if object.spec == lateen_api::Spec::NotHonoured {
                self.not_honoured.push(object.kind.to_string());
            }
            for field in object.not_honoured() {
                self.not_honoured.push(format!("{} {}", object.kind, field.pattern()));
            }
            self.objects.push(object);
        }
    }

    /// Reads a list of objects.
    pub fn add_all(&mut self, values: &[Value]) {
        for value in values {
            self.add(value);
        }
    }

    /// Reads the case's `meshConfig` as the ConfigMap that it stands for.
    pub fn add_mesh_config(&mut self, settings: &Value) {
        if settings.is_null() {
            return;
        }
        self.add(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": settings.to_string()},
        }));
    }

    /// Whether there is an object of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.objects.iter().any(|object| object.kind == kind)
    }

    /// Compiles the objects and gives the plan of one client: what the control plane would send, as
    /// bytes, and what the proxy would make of them.
    pub fn plan(&self, client: &Client) -> anyhow::Result<Arc<Plan>> {
        let upserts = self
            .outputs(client)
            .into_iter()
            .map(|(name, output)| (name.to_string(), output.encoded.bytes.clone()))
            .collect();
        let cut = Cut { upserts, removed: Vec::new() };
        Resources::default()
            .apply(&cut)
            .map_err(|rejected| anyhow::anyhow!("the plan is rejected: {rejected:?}"))
    }

    /// Compiles the objects and gives what one client would be sent, decoded.
    pub fn closure(&self, client: &Client) -> anyhow::Result<Vec<(Name, Arc<v1::Resource>)>> {
        let outputs = self.outputs(client).into_iter();
        outputs.map(|(name, output)| Ok((name, Arc::new(output.encoded.decode()?)))).collect()
    }

    fn outputs(&self, client: &Client) -> Vec<(Name, Arc<Output>)> {
        let mut compiler = Compiler::new(Options::default());
        compiler.apply(self.objects.iter().cloned().map(Arc::new).map(Change::Upsert));
        let scope = compiler.scope(client);
        let roots = compiler.roots(scope, client);
        compiler.closure(scope, roots).into_iter().collect()
    }
}
