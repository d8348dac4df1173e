//! One resource, from its bytes to its node.

use std::sync::Arc;

use bytes::Bytes;
use lateen_mesh::name::Name;
use lateen_mesh::v1;
use prost::Message;

use super::Body;
use crate::authorize::Policy;
use crate::inbound::Inbound;
use crate::origin::Objects;
use crate::route::Table;
use crate::settings::Settings;
use crate::{destination, directory, gateway};

mod unknown;

/// A compiled resource.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Settings(Arc<Settings>),
    Directory(Arc<directory::Slice>),
    /// Of a directory entry.
    Routes(Arc<Table>),
    /// Of a virtual host of a gateway.
    GatewayRoutes(Arc<Table>),
    Destination(Arc<destination::Spec>),
    Endpoints(Arc<destination::Slice>),
    Inbound(Arc<Inbound>),
    Policy(Arc<Policy>),
    Gateway(Arc<gateway::Spec>),
    Secret(Arc<v1::Secret>),
}

/// Compiles a resource; `None` for one that is only for the transport.
///
/// # Errors
/// With the reason that is told to the control plane.
pub(super) fn compile(name: &str, bytes: &Bytes) -> Result<Option<Node>, String> {
    let resource = v1::Resource::decode(bytes.clone()).map_err(|error| error.to_string())?;
    let parsed = Name::parse(name).ok_or("the name is of no known kind")?;
    let objects = Objects::new(resource.objects);
    let body = resource.body.ok_or("a body of an unknown kind")?;
    Ok(Some(match (parsed, body) {
        (Name::Cut, Body::Cut(_)) => return Ok(None),
        (Name::Settings, Body::Settings(message)) => {
            Node::Settings(Arc::new(Settings::compile(message, &objects)?))
        }
        (Name::Directory { .. }, Body::Directory(message)) => {
            Node::Directory(Arc::new(directory::Slice::compile(&message)?))
        }
        (Name::Routes(host), Body::Routes(message)) if host == message.host => {
            Node::Routes(Arc::new(Table::compile(&message, &objects)?))
        }
        (Name::GatewayRoutes { host, .. }, Body::Routes(message)) if host == message.host => {
            Node::GatewayRoutes(Arc::new(Table::compile(&message, &objects)?))
        }
        (Name::Destination { host, port, subset }, Body::Destination(message))
            if host == message.host
                && u32::from(port) == message.port
                && subset == message.subset =>
        {
            Node::Destination(Arc::new(destination::Spec::compile(message, &objects)?))
        }
        (Name::Endpoints { .. }, Body::Endpoints(message)) => {
            Node::Endpoints(Arc::new(destination::Slice::compile(&message)?))
        }
        (Name::Inbound { .. }, Body::Inbound(message)) => {
            Node::Inbound(Arc::new(Inbound::compile(message, &objects)?))
        }
        (Name::Policy { .. }, Body::Policy(message)) => {
            let understood = unknown::all_known(bytes, &message);
            Node::Policy(Arc::new(Policy::compile(&message, &objects, understood)?))
        }
        (Name::Gateway(port), Body::Gateway(message)) if u32::from(port) == message.port => {
            Node::Gateway(Arc::new(gateway::Spec::compile(message, &objects)?))
        }
        (Name::Secret { .. }, Body::Secret(message)) => Node::Secret(Arc::new(message)),
        _ => return Err("the name and the body are not of one kind".to_owned()),
    }))
}
