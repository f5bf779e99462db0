//! Gauges: what the parts of a running node tell at a scrape.

use std::sync::{Arc, Weak};

use storage::shape::Table;

use crate::{
    membership::{Board, Phase},
    metrics::{ClusterMetrics, Metrics},
    net::{Acceptor, RefusedCounts},
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

/// Lets the metrics look at a listener: `open` and `refused` ask it.
pub fn watch_listener(
    metrics: &Metrics,
    name: &'static str,
    open: impl Fn() -> usize + Send + Sync + 'static,
    refused: impl Fn() -> RefusedCounts + Send + Sync + 'static,
) {
    metrics.on_scrape(move |gauges| {
        gauges
            .connections
            .with_label_values(&[name])
            .set(count(open()));
        let refused = refused();
        let reasons = [
            ("full", refused.full),
            ("per_address", refused.per_address),
            ("rate", refused.rate),
        ];
        for (reason, number) in reasons {
            gauges
                .refused
                .with_label_values(&[reason])
                .set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    });
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
