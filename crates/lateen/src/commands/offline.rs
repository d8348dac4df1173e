//! A directory compiled without a control plane, for commands that answer and end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use lateen_api::{Diagnostic, Severity};
use lateen_compiler::{Change, Client, Compiler, Options};
use lateen_engine::{Cut, Plan, Resources};

/// The compiled directory, and the plans of the workloads that were asked for.
pub struct Offline {
    compiler: Compiler,
    diagnostics: Vec<Diagnostic>,
    plans: BTreeMap<(String, String), Arc<Plan>>,
}

impl Offline {
    /// Reads and compiles a directory as the control plane does in local mode.
    pub fn load(dir: &Path) -> anyhow::Result<Self> {
        let loaded = lateen_sources::load_once(dir)?;
        let mut compiler = Compiler::new(Options { local: true, ..Options::default() });
        let changes = compiler.apply(loaded.objects.into_iter().map(Change::Upsert));
        let mut diagnostics = loaded.diagnostics;
        diagnostics.extend(changes.diagnostics);
        Ok(Self { compiler, diagnostics, plans: BTreeMap::new() })
    }

    /// Compiles the objects that a cluster has, as its control plane does.
    pub fn of_cluster(objects: &[serde_json::Value], options: Options) -> Self {
        let mut compiler = Compiler::new(options);
        let mut diagnostics = Vec::new();
        let mut found = Vec::new();
        for object in objects {
            let parsed = lateen_api::parse_json(object, "the cluster");
            diagnostics.extend(parsed.diagnostics);
            found.extend(parsed.objects);
        }
        let upserts = found.into_iter().map(|object| Change::Upsert(Arc::new(object)));
        let changes = compiler.apply(upserts);
        diagnostics.extend(changes.diagnostics);
        Self { compiler, diagnostics, plans: BTreeMap::new() }
    }

    /// Says on standard error which objects were left out, since an answer without them may
    /// surprise.
    pub fn warn(&self) {
        for diagnostic in &self.diagnostics {
            if diagnostic.severity == Severity::Error {
                eprintln!("{diagnostic}");
            }
        }
    }

    /// Every workload that objects describe, by namespace and name.
    pub fn clients(&self) -> Vec<Client> {
        let clients = self.compiler.workloads().into_iter();
        clients.filter_map(|it| self.client(&it.namespace, &it.name).ok()).collect()
    }

    /// The workload of this name, in the role that its objects give it.
    pub fn client(&self, namespace: &str, name: &str) -> anyhow::Result<Client> {
        let role = self.compiler.role(namespace, name);
        role.and_then(|role| self.compiler.workload(namespace, name, role)).with_context(|| {
            let known: Vec<String> = self
                .compiler
                .workloads()
                .iter()
                .map(|client| format!("{}/{}", client.namespace, client.name))
                .collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            format!(
                "there is no workload {namespace}/{name} (a Pod or a WorkloadEntry); there are: {known}"
            )
        })
    }

    /// The plan that the workload's proxy would run on once it knows every destination.
    pub fn plan(&mut self, client: &Client) -> anyhow::Result<Arc<Plan>> {
        let key = (client.namespace.clone(), client.name.clone());
        if let Some(plan) = self.plans.get(&key) {
            return Ok(Arc::clone(plan));
        }
        let plan = self.compile(&Client { whole_scope: true, ..client.clone() })?;
        self.plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    /// The plan that the workload's proxy starts with: it knows what there is, but of a sidecar's
    /// destinations nothing more.
    pub fn directory_plan(&mut self, client: &Client) -> anyhow::Result<Arc<Plan>> {
        self.compile(client)
    }

    fn compile(&mut self, client: &Client) -> anyhow::Result<Arc<Plan>> {
        let scope = self.compiler.scope(client);
        let roots = self.compiler.roots(scope, client);
        let upserts = self
            .compiler
            .closure(scope, roots)
            .into_iter()
            .map(|(name, output)| (name.to_string(), output.encoded.bytes.clone()))
            .collect();
        let Client { namespace, name, .. } = client;
        Resources::new()
            .apply(&Cut { upserts, removed: Vec::new() })
            .with_context(|| format!("the configuration of {namespace}/{name} is bad"))
    }
}
