//! `docs/start.md` does what it says: its commands are run as they are printed, in its order.

use lateen_cluster_tests::mesh::{self, Engine};
use lateen_cluster_tests::page;

#[test]
fn with_our_proxy() -> anyhow::Result<()> {
    follow(Engine::Native)
}

#[test]
fn with_envoy() -> anyhow::Result<()> {
    follow(Engine::Envoy)
}

/// Of the page's blocks for k3d, the cluster of the tests takes the place, and of the gateway's address
/// on k3d that of its service.
fn follow(engine: Engine) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(mesh::checkout().join("docs/start.md"))?;
    let steps = page::steps(&text)?;
    let node = mesh::node()?;
    let mut run = 0;
    let mut outputs = 0;
    for step in &steps {
        if !["", engine.name()].contains(&step.reader.as_str()) {
            continue;
        }
        let gateway = mesh::gateway(&node).unwrap_or_default();
        let prepare = |command: &mut std::process::Command| {
            mesh::prepare(&node, command);
            command.env("GATEWAY", &gateway);
        };
        step.run(&prepare).map_err(|error| error.context(mesh::state(&node)))?;
        run += 1;
        outputs += usize::from(step.printed.is_some());
    }
    // A page that lost its blocks would pass.
    assert!(run >= 17 && outputs >= 7, "{run} steps, {outputs} outputs");
    Ok(())
}
