//! Choosing an endpoint.

use crate::destination::{Balancing, Destination, Target};
use crate::explain::{Explained, Trace, Untraced, What, explain};
use crate::upstream::UpstreamTls;

/// The state of a destination's endpoints, which the proxy holds in cells shared by its workers.
/// Indexes are those of [`Destination::targets`].
pub trait EndpointView {
    /// Requests (or connections) under way.
    fn active(&self, index: usize) -> u32;

    /// Whether it is ejected for now: never picked then.
    fn ejected(&self, index: usize) -> bool;
}

/// Nothing is under way, nobody is ejected.
#[derive(Debug, Clone, Copy, Default)]
pub struct Idle;

impl EndpointView for Idle {
    fn active(&self, _: usize) -> u32 {
        0
    }

    fn ejected(&self, _: usize) -> bool {
        false
    }
}

/// What one choice depends on, besides the plan and the view.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// Uniformly random.
    pub random: u64,
    /// Counts the choices for this destination, from anywhere: what takes turns in ROUND_ROBIN.
    pub turn: u64,
    /// Indexes of the targets that this request was sent to before.
    pub tried: &'a [usize],
    /// How often to choose anew when a tried one came up; then it is taken after all. 0: tried
    /// ones are not avoided.
    pub avoid_attempts: u32,
}

impl Draw<'_> {
    /// A first attempt.
    #[must_use]
    pub const fn first(random: u64, turn: u64) -> Self {
        Self { random, turn, tried: &[], avoid_attempts: 0 }
    }
}

impl Destination {
    /// Chooses the index of a target; `None`: there is no healthy one
    /// ([`crate::Reason::NoHealthyUpstream`]). Unhealthy, draining and ejected endpoints are never
    /// chosen: the panic threshold is zero, as Istio's.
    #[must_use]
    pub fn pick(&self, view: &impl EndpointView, draw: Draw<'_>) -> Option<usize> {
        self.pick_traced(view, draw, &mut Untraced)
    }

    /// [`Self::pick`], explained.
    #[must_use]
    pub fn explain_pick(
        &self,
        view: &impl EndpointView,
        draw: Draw<'_>,
    ) -> Explained<Option<usize>> {
        explain(|trace| self.pick_traced(view, draw, trace))
    }

    /// What TLS is spoken to a target, explained.
    #[must_use]
    pub fn explain_tls(&self, index: usize) -> Explained<Option<&UpstreamTls>> {
        explain(|trace| {
            let tls = self.target(index).map(|target| &*target.tls);
            if let Some(tls) = tls {
                trace.step(What::UpstreamTls, self.tls_origin(), true, || tls.describe());
            }
            tls
        })
    }

    /// The target of an index that [`Self::pick`] returned.
    #[must_use]
    pub fn target(&self, index: usize) -> Option<&Target> {
        self.targets().get(index)
    }

    fn pick_traced<T: Trace>(
        &self,
        view: &impl EndpointView,
        draw: Draw<'_>,
        trace: &mut T,
    ) -> Option<usize> {
        if T::RECORDS {
            self.record_eligibility(view, trace);
        }
        let mut random = draw.random;
        let mut picked = None;
        for attempt in 0..=u64::from(draw.avoid_attempts) {
            picked = self.pick_once(view, random, draw.turn.wrapping_add(attempt));
            match picked {
                Some(index) if draw.tried.contains(&index) => random = mix(random.rotate_left(32)),
                _ => break,
            }
        }
        if let Some(target) = picked.and_then(|index| self.target(index)) {
            trace.step(What::Endpoint, self.balancing_origin(), true, || {
                let how = match self.balancing() {
                    Balancing::LeastRequest => "the less busy of two random ones",
                    Balancing::RoundRobin => "its turn",
                    Balancing::Random => "at random",
                };
                format!("{} at {}: {how}", target.endpoint.key.uid, target.endpoint.address)
            });
        }
        picked
    }

    fn pick_once(&self, view: &impl EndpointView, random: u64, turn: u64) -> Option<usize> {
        let position = match self.balancing() {
            Balancing::LeastRequest => return self.less_busy(view, random),
            Balancing::Random => random,
            Balancing::RoundRobin => self.spread(turn),
        };
        let index = self.at(position)?;
        if view.ejected(index) { self.next_available(view, position) } else { Some(index) }
    }

    /// Power of two choices: of two drawn by weight, the one with less under way for its weight. Where
    /// neither is ahead the first stays, so that idle endpoints share as their weights say.
    fn less_busy(&self, view: &impl EndpointView, random: u64) -> Option<usize> {
        let second = mix(random);
        let one = self.at(random).filter(|index| !view.ejected(*index));
        let one = one.or_else(|| self.next_available(view, random))?;
        let other = self.at(second).filter(|index| !view.ejected(*index));
        let other = other.or_else(|| self.next_available(view, second))?;
        let load = |index: usize| u64::from(view.active(index));
        let weight = |index: usize| {
            self.targets().get(index).map_or(1, |target| u64::from(target.endpoint.weight))
        };
        let less = load(other) * weight(one) < load(one) * weight(other);
        Some(if less { other } else { one })
    }

    /// The eligible target at a position of the line of weights.
    fn at(&self, position: u64) -> Option<usize> {
        let total = *self.cumulative.last()?;
        let slot = if self.equal_weights {
            usize::try_from(position % u64::try_from(self.eligible.len()).ok()?).ok()?
        } else {
            let position = position % total;
            self.cumulative.partition_point(|sum| *sum <= position)
        };
        self.eligible.get(slot).map(|index| *index as usize)
    }

    /// The first target from a position on that is not ejected.
    fn next_available(&self, view: &impl EndpointView, position: u64) -> Option<usize> {
        let count = u64::try_from(self.eligible.len()).ok().filter(|count| *count > 0)?;
        let start = usize::try_from(position % count).ok()?;
        let (before, from) = self.eligible.split_at(start);
        from.iter().chain(before).map(|index| *index as usize).find(|index| !view.ejected(*index))
    }

    /// Turns the counter into a position such that any `total` turns in a row visit each target
    /// as often as its weight says, and not in one go.
    fn spread(&self, turn: u64) -> u64 {
        let Some(total) = self.cumulative.last().copied() else { return 0 };
        if self.equal_weights {
            return turn;
        }
        let stride = stride(total);
        let position = u128::from(turn % total) * u128::from(stride) % u128::from(total);
        u64::try_from(position).unwrap_or(0)
    }

    fn record_eligibility<T: Trace>(&self, view: &impl EndpointView, trace: &mut T) {
        for (index, target) in self.targets().iter().enumerate() {
            let eligible = self.eligible.iter().any(|eligible| *eligible as usize == index);
            let ejected = view.ejected(index);
            trace.step(What::Endpoint, self.origin(), eligible && !ejected, || {
                let endpoint = &target.endpoint;
                let state = if eligible && ejected {
                    "ejected".to_owned()
                } else {
                    format!("{:?}", endpoint.health).to_lowercase()
                };
                format!("{} at {}: {state}", endpoint.key.uid, endpoint.address)
            });
        }
        if self.targets().is_empty() {
            trace.step(What::Endpoint, self.origin(), false, || {
                format!("{} has no endpoints", self.key())
            });
        }
    }
}

/// A number without common divisor with `total`, near to its golden section.
fn stride(total: u64) -> u64 {
    let golden = u64::try_from(u128::from(total) * 618 / 1000).unwrap_or(1).max(1);
    (golden..=total).find(|candidate| coprime(*candidate, total)).unwrap_or(1)
}

const fn coprime(mut a: u64, mut b: u64) -> bool {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

/// The next of a sequence of numbers that starts from a random one (SplitMix64).
#[must_use]
pub const fn mix(random: u64) -> u64 {
    let mut z = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
