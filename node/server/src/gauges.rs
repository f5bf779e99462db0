//! Gauges: what the parts of a running node tell at a scrape.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use storage::shape::Table;

use crate::{
    config::Security,
    membership::{Board, Phase},
    metrics::{ClusterMetrics, Metrics},
    net::{Acceptor, Counts, RefusedCounts},
    routing::Router,
};

/// Lets the metrics look at a router for as long as it lives.
pub fn watch_router(metrics: &Metrics, router: &Arc<Router>) {
    let router: Weak<Router> = Arc::downgrade(router);
    metrics.on_scrape(move |gauges| {
        let Some(router) = router.upgrade() else {
            return;
        };
        gauges.sessions.set(count(router.sessions.len()));
        gauges.parked.set(count(router.parked.len()));
        gauges.unanswered.set(count(router.peers.unanswered()));
        gauges.homes.set(count(router.homes.len()));
        gauges.rosters.set(count(router.rosters.len()));
        gauges.accounts.set(count(router.directory.accounts()));
        gauges.tasks.set(count(router.tasks.running()));
    });
}

/// Lets the metrics tell whether the store takes writes.
pub fn watch_store(metrics: &Metrics, table: Arc<dyn Table>) {
    metrics.on_scrape(move |gauges| {
        gauges
            .store_writable
            .set(i64::from(table.trouble().is_none()));
    });
}

/// Lets the metrics tell of this node's place in the cluster.
pub fn watch_cluster(metrics: &Metrics, board: &Board) {
    let cluster = ClusterMetrics::register(metrics.registry());
    let board = board.clone();
    metrics.on_scrape(move |_| {
        let Some(status) = board.status() else { return };
        let states = |state: &str| status.members.iter().filter(|it| it.state == state).count();
        for state in ClusterMetrics::STAGES {
            let members = cluster.members.with_label_values(&[state]);
            members.set(count(states(state)));
        }
        for state in ClusterMetrics::LINKS {
            let links = status.links.iter().filter(|it| it.state == state);
            let gauge = cluster.links.with_label_values(&[state]);
            gauge.set(count(links.count()));
        }
        for role in ClusterMetrics::ROLES {
            let is = i64::from(status.directory.role == role);
            cluster.role.with_label_values(&[role]).set(is);
        }
        for phase in Phase::ALL {
            let is = i64::from(status.phase == phase);
            cluster.phase.with_label_values(&[phase.name()]).set(is);
        }
        // Generation and change: a number that dashboards can show.
        cluster.generation.set(number(status.epoch >> 32));
        cluster
            .changes
            .set(number(status.epoch & u64::from(u32::MAX)));
        let frames = status.links.iter().map(|link| link.queued_frames).sum();
        cluster.unacknowledged.set(count(frames));
        cluster.lag.set(number(status.directory.lag));
        cluster.pipes.set(count(status.pipes));
    });
}

/// Lets the metrics tell when certificates end.
pub fn watch_certificates(metrics: &Metrics, acceptor: &Arc<Acceptor>) {
    let acceptor = Arc::downgrade(acceptor);
    metrics.on_scrape(move |gauges| {
        let Some(acceptor) = acceptor.upgrade() else {
            return;
        };
        for facts in acceptor.certificates() {
            let name = facts.names.first().map_or("unnamed", String::as_str);
            gauges
                .certificate_expiry
                .with_label_values(&[name])
                .set(facts.not_after);
        }
    });
}

/// What the metrics call a listener.
fn listener_name(security: Security) -> &'static str {
    match security {
        Security::StartTls { .. } => "c2s",
        Security::Direct => "c2s_tls",
    }
}

/// Lets the metrics look at all listeners of a life of this node. Those of one kind are one in the metrics.
pub fn watch_listeners(metrics: &Metrics, listeners: Vec<(Security, Counts)>) {
    metrics.on_scrape(move |gauges| {
        let (mut open, mut sum) = (BTreeMap::new(), RefusedCounts::default());
        for (security, counts) in &listeners {
            *open.entry(listener_name(*security)).or_default() += counts.open();
            let refused = counts.refused();
            sum.full += refused.full;
            sum.per_address += refused.per_address;
            sum.rate += refused.rate;
        }
        for (name, open) in open {
            gauges
                .connections
                .with_label_values(&[name])
                .set(count(open));
        }
        let reasons = [
            ("full", sum.full),
            ("per_address", sum.per_address),
            ("rate", sum.rate),
        ];
        for (reason, refused) in reasons {
            gauges
                .refused
                .with_label_values(&[reason])
                .set(number(refused));
        }
    });
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
