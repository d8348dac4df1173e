//! Choosing among endpoints.

use std::collections::BTreeMap;

use lateen_engine::Destination;
use lateen_engine::balance::{Draw, EndpointView, Idle, mix};
use lateen_mesh::v1;
use lateen_mesh::v1::endpoint::Health;
use lateen_mesh::v1::load_balancing::Policy;
use lateen_mesh::v1::resource::Body;

use crate::fixture::*;

/// Active requests and ejections by index.
#[derive(Default)]
struct View {
    active: Vec<u32>,
    ejected: Vec<usize>,
}

impl EndpointView for View {
    fn active(&self, index: usize) -> u32 {
        self.active.get(index).copied().unwrap_or(0)
    }

    fn ejected(&self, index: usize) -> bool {
        self.ejected.contains(&index)
    }
}

fn with(policy: Policy, endpoints: Vec<v1::Endpoint>, check: impl FnOnce(&Destination)) {
    let plan = Mesh::new()
        .destination(v1::Destination {
            load_balancing: Some(v1::LoadBalancing {
                policy: policy.into(),
                origin: origin("spec.trafficPolicy.loadBalancer"),
            }),
            ..destination("a.ext", 80)
        })
        .with("endpoints/a.ext/80/0", Body::Endpoints(slice("a.ext", 80, endpoints)))
        .plan();
    let destination = plan.destinations().next().expect("the destination");
    check(destination);
}

fn weighted(weights: &[u32]) -> Vec<v1::Endpoint> {
    let named = weights.iter().enumerate();
    named
        .map(|(index, weight)| v1::Endpoint { weight: *weight, ..endpoint(&index.to_string(), 80) })
        .collect()
}

fn counts(picks: impl Iterator<Item = Option<usize>>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for pick in picks.flatten() {
        *counts.entry(pick).or_default() += 1;
    }
    counts
}

fn randoms() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(7), |random| Some(mix(*random)))
}

#[test]
fn round_robin_takes_turns_by_weight() {
    with(Policy::RoundRobin, weighted(&[0, 1, 1]), |destination| {
        let turns: Vec<_> =
            (0..6).map(|turn| destination.pick(&Idle, Draw::first(9, turn))).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2].map(Some));
    });
    with(Policy::RoundRobin, weighted(&[5, 1, 4]), |destination| {
        for start in [0, 3, 17] {
            let turns: Vec<_> = (start..start + 10)
                .map(|turn| destination.pick(&Idle, Draw::first(9, turn)))
                .collect();
            let counts = counts(turns.iter().copied());
            assert_eq!(counts, [(0, 5), (1, 1), (2, 4)].into());
            let run = turns.windows(4).any(|window| window.iter().all(|pick| *pick == turns[0]));
            assert!(!run, "{turns:?}");
        }
    });
}

#[test]
fn random_follows_weights() {
    with(Policy::Random, weighted(&[1, 3]), |destination| {
        let picks =
            randoms().take(4000).map(|random| destination.pick(&Idle, Draw::first(random, 0)));
        let counts = counts(picks);
        assert!((850..1150).contains(&counts[&0]), "{counts:?}");
    });
}

#[test]
fn least_request_prefers_the_less_busy() {
    with(Policy::LeastRequest, weighted(&[1, 1]), |destination| {
        let view = View { active: vec![10, 0], ..View::default() };
        let picks =
            randoms().take(1000).map(|random| destination.pick(&view, Draw::first(random, 0)));
        let counts = counts(picks);
        // The busy one only when it is drawn twice.
        assert!((200..300).contains(&counts[&0]), "{counts:?}");
        let even = counts_of_idle(destination);
        assert!((400..600).contains(&even[&0]), "{even:?}");
    });
    with(Policy::LeastRequest, weighted(&[1, 4]), |destination| {
        // Four times the weight carries four times the load.
        let view = View { active: vec![4, 14], ..View::default() };
        let picks =
            randoms().take(1000).map(|random| destination.pick(&view, Draw::first(random, 0)));
        let counts = counts(picks);
        assert!(counts[&1] > 900, "{counts:?}");
    });
    with(Policy::LeastRequest, weighted(&[1, 3]), |destination| {
        // Idle endpoints share as their weights say, and no more.
        let even = counts_of_idle(destination);
        assert!((200..300).contains(&even[&0]), "{even:?}");
    });
}

fn counts_of_idle(destination: &Destination) -> BTreeMap<usize, usize> {
    counts(randoms().take(1000).map(|random| destination.pick(&Idle, Draw::first(random, 0))))
}

#[test]
fn only_healthy_endpoints_are_picked() {
    let sick =
        |health: Health, name: &str| v1::Endpoint { health: health.into(), ..endpoint(name, 80) };
    for policy in [Policy::LeastRequest, Policy::RoundRobin, Policy::Random] {
        let endpoints = vec![
            sick(Health::Unhealthy, "u"),
            sick(Health::Healthy, "a"),
            sick(Health::Draining, "d"),
            sick(Health::Healthy, "b"),
        ];
        with(policy, endpoints, |destination| {
            let ejecting = View { ejected: vec![3], ..View::default() };
            let none_left = View { ejected: vec![1, 3], ..View::default() };
            for (turn, random) in (0..100).zip(randoms()) {
                let draw = Draw::first(random, turn);
                let picked = destination.pick(&Idle, draw).expect("two are healthy");
                assert!(picked == 1 || picked == 3, "{policy:?}: {picked}");
                assert_eq!(destination.pick(&ejecting, draw), Some(1), "{policy:?}");
                assert_eq!(destination.pick(&none_left, draw), None, "{policy:?}");
                let explained = destination.explain_pick(&ejecting, draw);
                assert_eq!(explained.decision, Some(1));
                assert_eq!(explained.steps.len(), 5);
            }
        });
        with(policy, vec![sick(Health::Unhealthy, "u")], |destination| {
            assert_eq!(destination.pick(&Idle, Draw::first(1, 1)), None);
        });
        with(policy, Vec::new(), |destination| {
            assert_eq!(destination.pick(&Idle, Draw::first(1, 1)), None);
            assert_eq!(destination.explain_pick(&Idle, Draw::first(1, 1)).steps.len(), 1);
        });
    }
}

#[test]
fn endpoints_that_were_tried_are_avoided_while_there_are_others() {
    for policy in [Policy::LeastRequest, Policy::RoundRobin, Policy::Random] {
        with(policy, weighted(&[1, 1, 1, 1]), |destination| {
            let avoiding = |random, avoid_attempts| Draw {
                tried: &[0, 1],
                avoid_attempts,
                ..Draw::first(random, random)
            };
            let again = |attempts| {
                let picks = randoms()
                    .take(1000)
                    .map(|random| destination.pick(&Idle, avoiding(random, attempts)));
                counts(picks).range(..2).map(|(_, count)| count).sum::<usize>()
            };
            assert!(again(0) > 400, "{policy:?}");
            assert!(again(5) < 60, "{policy:?}: {}", again(5));
        });
        with(policy, weighted(&[1]), |destination| {
            let draw = Draw { tried: &[0], avoid_attempts: 5, ..Draw::first(1, 1) };
            assert_eq!(destination.pick(&Idle, draw), Some(0), "the only one is taken again");
        });
    }
}
