//! What commands do to connections of Envoys.

use std::{sync::Arc, time::SystemTime};

use lateen_api::{Code, Diagnostic, ObjectRef, Severity};
use lateen_compiler::{Client, ScopeId};
use lateen_envoy::{Kind, Problem};
use lateen_xds::server::{Event, Outlet, Update};
use rustc_hash::FxHashSet;

use super::{Distributor, MAX_HOSTS, too_many_hosts};
use crate::distribution::{
    ConnectionId,
    connection::{Envoy, Plane},
    envoy::{Beside, PartIds, Parts, Request, Session},
    topics::Watcher,
};
use crate::metrics::Sent;

/// Bytes on their way to all Envoys, about; near it responses become smaller, so that a thousand
/// that connect at once are served in turns and nobody waits for a slow one.
const IN_FLIGHT: usize = 48 << 20;

/// Bytes of a response, however many are on their way.
const SMALLEST_CHUNK: usize = 32 << 10;

impl Distributor {
    /// A new Envoy's end of the connection.
    #[expect(clippy::too_many_arguments, reason = "the parts of a connection that is being made")]
    pub(super) fn open_envoy(
        &mut self,
        id: ConnectionId,
        scope: ScopeId,
        client: &Client,
        has_secrets: bool,
        beside: Beside,
        outlet: Outlet,
        first: (Kind, Request),
    ) -> Plane {
        let parts = self.join_lowerings(id, scope, client, beside);
        let mut session = Session::new(has_secrets);
        self.ask(&mut session, parts, first);
        Plane::Envoy(Box::new(Envoy { session, parts, beside, outlet }))
    }

    /// What an Envoy says.
    pub(super) fn hear_envoy(&mut self, id: ConnectionId, event: Event) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Plane::Envoy(envoy) = &mut connection.plane else { return };
        let Envoy { session, parts, .. } = &mut **envoy;
        let (Event::Subscriptions { type_url, .. }
        | Event::Acknowledged { type_url, .. }
        | Event::Rejected { type_url, .. }) = &event;
        let Some(kind) = Kind::of_type_url(type_url) else {
            tracing::warn!(proxy = %connection.node, %type_url, "a type that is not served");
            return;
        };
        match event {
            Event::Subscriptions { subscribe, unsubscribe, known, .. } => {
                if session.names() + subscribe.len() > MAX_HOSTS {
                    return self.expel(id, too_many_hosts());
                }
                self.lowerings.reserve(*parts, kind, &subscribe);
                let Some(parts) = self.lowerings.parts(*parts) else { return };
                session.ask(kind, Request { subscribe, unsubscribe, known }, parts);
            }
            Event::Acknowledged { .. } => {
                self.in_flight -= session.bytes_in_flight(kind);
                session.acknowledged(kind);
            }
            Event::Rejected { reason, .. } => {
                self.in_flight -= session.bytes_in_flight(kind);
                let Some(parts) = self.lowerings.parts(*parts) else { return };
                session.refused(kind, &reason, parts);
                self.metrics.rejected(Sent::Kind(kind));
                tracing::warn!(
                    proxy = %connection.node, ?kind, reason,
                    "an Envoy refused configuration and stays with what it has"
                );
                connection.refusal = Some((reason, SystemTime::now()));
            }
        }
    }

    /// Takes into what is lowered what changed, and tells the connections.
    pub(super) fn lower(&mut self) {
        let since = self.unlowered_since.take();
        for id in self.lowerings.take_stale() {
            let changed = self.lowerings.advance(id, &mut self.topics, &mut self.compiler);
            let Some(lowered) = self.lowerings.get(id).filter(|_| !changed.is_empty()) else {
                continue;
            };
            let part = lowered.part();
            for user in lowered.users() {
                let Some(connection) = self.connections.get_mut(user) else { continue };
                let Plane::Envoy(envoy) = &mut connection.plane else { continue };
                // One that moves has joined its new parts, and still looks at the former ones.
                if ![envoy.parts.scope, envoy.parts.workload].contains(&id) {
                    continue;
                }
                let Some(parts) = self.lowerings.parts(envoy.parts) else { continue };
                let mut is_touched = false;
                for change in &changed {
                    is_touched |= envoy.session.mark(change.kind, part, change.number, parts);
                }
                if is_touched {
                    connection.stale_since = connection.stale_since.or(since);
                    self.awake.insert(*user);
                }
            }
            let connections = &self.connections;
            self.lowerings.tidy(id, |user| match &connections.get(&user)?.plane {
                Plane::Envoy(envoy) => Some(&envoy.session),
                Plane::Native(_) => None,
            });
        }
    }

    /// Sends an Envoy what it may be sent now. Whether anything was.
    pub(super) fn push_envoy(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let Plane::Envoy(envoy) = &mut connection.plane else { return false };
        let Some(parts) = self.lowerings.parts(envoy.parts) else { return false };
        let room = IN_FLIGHT.saturating_sub(self.in_flight) / 16;
        let limit = room.clamp(SMALLEST_CHUNK.min(self.chunk_bytes), self.chunk_bytes);
        let updates = envoy.session.advance(parts, limit);
        for update in &updates {
            let bytes = update.resources.iter().map(|resource| resource.body.len()).sum::<usize>();
            self.in_flight += bytes;
            self.metrics.cut_size(bytes);
            if let Some(kind) = Kind::of_type_url(&update.type_url) {
                self.metrics.pushed(Sent::Kind(kind));
            }
            tracing::debug!(
                proxy = %connection.node,
                type_url = %update.type_url,
                resources = update.resources.len(),
                removed = update.removed.len(),
                "resources are sent"
            );
        }
        let is_sent = !updates.is_empty();
        let system_version: Arc<str> = self.sequence.to_string().into();
        for update in updates {
            let update =
                Update { system_version: system_version.clone(), tag: self.sequence, ..update };
            if envoy.outlet.try_send(update).is_err() {
                tracing::debug!("a response was not sent: the stream has ended");
            }
        }
        if !is_sent && envoy.session.is_settled() {
            connection.acknowledged = self.sequence;
            if let Some(since) = connection.stale_since.take() {
                self.metrics.converged(since.elapsed());
            }
        }
        is_sent
    }

    /// An Envoy is of another scope now: it is sent the difference.
    pub(super) fn move_envoy(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (scope, client) = (connection.scope, connection.client.clone());
        let has_secrets = connection.caller.is_proven();
        let Plane::Envoy(envoy) = &connection.plane else { return };
        let (former, beside) = (envoy.parts, envoy.beside);
        let Some(parts) = self.lowerings.parts(former) else { return };
        let remains = envoy.session.remains(parts);
        let parts = self.join_lowerings(id, scope, &client, beside);
        let mut session = Session::new(has_secrets);
        for asked in remains {
            self.ask(&mut session, parts, asked);
        }
        self.lowerings.leave(id, former, &mut self.topics);
        if let Some(connection) = self.connections.get_mut(&id)
            && let Plane::Envoy(envoy) = &mut connection.plane
        {
            (envoy.session, envoy.parts) = (session, parts);
        }
    }

    /// A connection that ends takes nothing any more.
    pub(super) fn leave_lowerings(&mut self, id: ConnectionId, envoy: &Envoy) {
        let on_their_way = |kind: &Kind| envoy.session.bytes_in_flight(*kind);
        self.in_flight -= Kind::ALL.iter().map(on_their_way).sum::<usize>();
        self.lowerings.leave(id, envoy.parts, &mut self.topics);
    }

    /// What Envoy cannot be told, as warnings.
    pub(super) fn problems(&self) -> Vec<Diagnostic> {
        let problems: FxHashSet<&Problem> = self.lowerings.problems().collect();
        problems.into_iter().map(warning).collect()
    }

    /// The parts of a client, up to date as the compiler is now.
    fn join_lowerings(
        &mut self,
        id: ConnectionId,
        scope: ScopeId,
        client: &Client,
        beside: Beside,
    ) -> PartIds {
        let is_local = self.compiler.options().local;
        let next = &mut self.next;
        let number = || {
            *next += 1;
            Watcher(*next)
        };
        let parts = self.lowerings.join(id, scope, client, beside, is_local, number);
        self.lower();
        parts
    }

    fn ask(&mut self, session: &mut Session, parts: PartIds, (kind, request): (Kind, Request)) {
        self.lowerings.reserve(parts, kind, &request.subscribe);
        let Some(parts): Option<Parts<'_>> = self.lowerings.parts(parts) else { return };
        session.ask(kind, request, parts);
    }
}

fn warning(problem: &Problem) -> Diagnostic {
    let Problem { object, field, why } = problem;
    let read = || {
        let (kind, name) = object.split_once(' ')?;
        let kind = lateen_api::Kind::ALL.iter().copied().find(|known| known.to_string() == kind)?;
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        Some(ObjectRef::new(kind, namespace, name))
    };
    Diagnostic {
        severity: Severity::Warning,
        code: Code::FieldNotHonoured,
        object: read(),
        field: field.clone(),
        file: "envoy".into(),
        line: 0,
        column: 0,
        message: why.clone(),
    }
}
