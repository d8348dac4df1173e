//! Which of several control planes writes: the one that holds a Lease (Kubernetes' coordination API).
//!
//! The rules are those of Kubernetes' own programs. Whoever holds the lease renews it; one that was not
//! renewed for its whole duration, *as seen by whoever wants it*, may be taken. So no two clocks are
//! compared. A holder that cannot renew stops writing well before anybody else may begin.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{MANAGER, refusal};

/// How long a lease counts that nobody renews (Kubernetes' default).
const DURATION: Duration = Duration::from_secs(15);

/// How long a holder that cannot renew goes on writing.
const DEADLINE: Duration = Duration::from_secs(10);

/// How often a holder renews, and others look.
const PERIOD: Duration = Duration::from_secs(2);

/// The lease of the control planes of a revision, which write the same.
pub(crate) fn name(revision: &str) -> String {
    match revision {
        "" | "default" => "lateen-leader".to_owned(),
        revision => format!("lateen-leader-{revision}"),
    }
}

/// Takes part in an election, from the call until stopped; then gives the lease back. The receiver says
/// whether this one writes.
pub(crate) fn run_for(
    client: Client,
    namespace: &str,
    name: String,
    me: String,
    stop: CancellationToken,
) -> (watch::Receiver<bool>, JoinHandle<()>) {
    let (leading, receiver) = watch::channel(false);
    let leases = Api::namespaced(client, namespace);
    let candidate = Candidate { leases, name, me, seen: None, renewed: None, leading };
    (receiver, tokio::spawn(candidate.run(stop)))
}

struct Candidate {
    leases: Api<Lease>,
    name: String,
    me: String,
    /// What the lease said when it last said something else, and since when.
    seen: Option<(Record, Instant)>,
    /// When this one renewed, if it holds the lease.
    renewed: Option<Instant>,
    leading: watch::Sender<bool>,
}

/// What changes whenever a holder lives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    holder: String,
    renewed: Option<MicroTime>,
}

/// What to do about a lease.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Hold it, anew or for longer; whether the holder is another than before.
    Hold { anew: bool },
    /// Somebody else holds it.
    Wait,
}

impl Candidate {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let tried = tokio::time::timeout(DEADLINE / 2, self.contend()).await;
            match tried {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.name, %error, "the lease is not heard of");
                }
                Err(_) => tracing::warn!(lease = self.name, "the lease is not heard of in time"),
            }
            let holds = self.renewed.is_some_and(|at| at.elapsed() < DEADLINE);
            self.lead(holds);
            if stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_none() {
                break;
            }
        }
        let led = *self.leading.borrow();
        self.lead(false);
        if led && let Err(error) = self.give_back().await {
            tracing::info!(lease = self.name, %error, "the lease is not given back; it will run out");
        }
    }

    fn lead(&mut self, leads: bool) {
        let changed =
            self.leading.send_if_modified(|before| std::mem::replace(before, leads) != leads);
        if changed {
            let (lease, me) = (&self.name, &self.me);
            tracing::info!(lease, me, leads, "leadership changed");
        }
    }

    /// Looks at the lease, and takes or renews it where that is due.
    async fn contend(&mut self) -> kube::Result<()> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let lease = self.held(Lease::default(), true);
            return self.settle(self.leases.create(&parameters(), &lease).await);
        };
        match self.step(&lease, Instant::now()) {
            Step::Wait => {
                self.renewed = None;
                Ok(())
            }
            Step::Hold { anew } => {
                let lease = self.held(lease, anew);
                self.settle(self.leases.replace(&self.name, &parameters(), &lease).await)
            }
        }
    }

    /// What became of a write. One that lost against another's is no failure: the next look tells.
    fn settle(&mut self, written: kube::Result<Lease>) -> kube::Result<()> {
        match written {
            Ok(_) => {
                self.renewed = Some(Instant::now());
                Ok(())
            }
            Err(error) if refusal(&error) == Some(409) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn step(&mut self, lease: &Lease, now: Instant) -> Step {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let record = Record { holder: holder.clone(), renewed: spec.renew_time };
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => now,
        };
        self.seen = Some((record, since));
        if holder == self.me {
            return Step::Hold { anew: false };
        }
        let seconds = spec.lease_duration_seconds.and_then(|it| u64::try_from(it).ok());
        let duration = seconds.map_or(DURATION, Duration::from_secs);
        let is_free = holder.is_empty() || now.duration_since(since) >= duration;
        if is_free { Step::Hold { anew: true } } else { Step::Wait }
    }

    /// The lease as this one holds it.
    fn held(&self, lease: Lease, anew: bool) -> Lease {
        let before = lease.spec.unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let transitions = before.lease_transitions.unwrap_or_default();
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..lease.metadata };
        let spec = LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if anew { Some(now.clone()) } else { before.acquire_time },
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(anew)),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    /// Lets the next one begin at once.
    async fn give_back(&self) -> kube::Result<()> {
        let mut lease = self.leases.get(&self.name).await?;
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&*self.me) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        self.leases.replace(&self.name, &parameters(), &lease).await?;
        Ok(())
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: i64) -> Lease {
        let renewed = Timestamp::from_second(renewed).expect("a time");
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    fn candidate() -> Candidate {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("nobody asks"))
        });
        let leases = Api::namespaced(Client::new(service, "default"), "default");
        let (leading, _) = watch::channel(false);
        let (name, me) = ("lateen".to_owned(), "me".to_owned());
        Candidate { leases, name, me, seen: None, renewed: None, leading }
    }

    #[tokio::test]
    async fn a_lease_is_taken_when_nobody_renewed_it_for_its_duration() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut candidate = candidate();
        // Somebody else's; how old it says it is does not matter.
        assert_eq!(candidate.step(&lease("other", 0), at(0)), Step::Wait);
        assert_eq!(candidate.step(&lease("other", 0), at(14)), Step::Wait);
        // It was renewed: the count begins anew.
        assert_eq!(candidate.step(&lease("other", 7), at(14)), Step::Wait);
        assert_eq!(candidate.step(&lease("other", 7), at(28)), Step::Wait);
        assert_eq!(candidate.step(&lease("other", 7), at(29)), Step::Hold { anew: true });
        assert_eq!(candidate.step(&lease("me", 9), at(30)), Step::Hold { anew: false });
        // Given back.
        assert_eq!(candidate.step(&lease("", 9), at(31)), Step::Hold { anew: true });
    }

    #[tokio::test]
    async fn a_change_of_holder_is_counted() {
        let candidate = candidate();
        let held = candidate.held(lease("other", 7), true);
        let spec = held.spec.expect("a specification");
        assert_eq!(spec.holder_identity.as_deref(), Some("me"));
        assert_eq!(spec.lease_transitions, Some(1));
        assert!(spec.acquire_time.is_some());
        let renewed = candidate.held(Lease { spec: Some(spec.clone()), ..Lease::default() }, false);
        let again = renewed.spec.expect("a specification");
        assert_eq!((again.lease_transitions, again.acquire_time), (Some(1), spec.acquire_time));
    }
}
