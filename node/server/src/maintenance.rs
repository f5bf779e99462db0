//! Maintenance: what a node does for its stores in the background: compacts and bounds logs, sweeps objects, removes what
//! has expired.
//!
//! One task, one step at a time, with a rest after each; a longer one when a store asks for less. How far a round is
//! stands in the store: of several nodes the one does it where [`PLACE`] is placed, as accounts are, and another goes on when
//! that is gone. While they learn of that at different times two may share the work. A step may be cut off anywhere: a stop
//! does not wait for one.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use storage::{
    Expire, Stores,
    maintenance::{Maintenance, Step, Work},
};

use crate::{
    config::{Config, Feature},
    metrics::MaintenanceMetrics,
    routing::Router,
    shutdown::Stopping,
};

/// What is placed like an account, and is none.
const PLACE: &str = "maintenance";
/// A node that starts has other things to do first.
const FIRST: Duration = Duration::from_secs(60);
/// The longest rest: a clock may jump.
const LONGEST: Duration = Duration::from_secs(600);
/// How long is rested after a failure, and at least when a store asks for less; it doubles up to [`LONGEST`].
const BACK_OFF: Duration = Duration::from_secs(5);
/// How often expired records are removed.
const EXPIRE: Duration = Duration::from_secs(600);
/// Expired records that are removed at once.
const EXPIRED_AT_ONCE: usize = 500;
/// No object that is younger is swept.
const SWEEP_GRACE: Duration = Duration::from_secs(86_400);

/// The maintenance of each domain, and of each service for rooms, whose logs are in a place of ours. Those that keep the same
/// things in the same stores are swept together, with the first of them.
pub fn of_domains(config: &Config, stores: &Stores) -> Vec<(String, Maintenance)> {
    let mut together: BTreeMap<Vec<Option<&str>>, Vec<&str>> = BTreeMap::new();
    let kept = |domain: &str| -> Vec<Option<&str>> {
        let kept = Feature::ALL.map(|feature| config.storage.kept_in(feature, domain));
        kept.into()
    };
    let services = config.room_services();
    for domain in config.domains.iter().chain(&services) {
        together.entry(kept(domain)).or_default().push(domain);
    }
    let of_domain = |domain: &String| {
        let mut options = config.maintained(domain);
        let swept = &together[&kept(domain)];
        if config.maintenance.sweep && swept.first() == Some(&domain.as_str()) {
            options.sweep = Some(SWEEP_GRACE);
        }
        let maintenance = match services.contains(domain) {
            true => stores.room_maintenance(domain, swept, options)?,
            false => stores.maintenance(domain, swept, options)?,
        };
        Some((domain.clone(), maintenance))
    };
    let all = config.domains.iter().chain(&services);
    all.filter_map(of_domain).collect()
}

/// Runs until the node stops.
pub async fn run(router: Arc<Router>, mut stop: Stopping) {
    let mut work = Background::new(&router);
    let mut rest = FIRST.min(router.config.maintenance.interval);
    loop {
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = stop.wait() => return,
        }
        if router.peers.elsewhere(PLACE).is_some() {
            rest = FIRST.min(router.config.maintenance.interval);
            continue;
        }
        rest = tokio::select! {
            rest = work.step() => rest,
            () = stop.wait() => return,
        };
    }
}

/// The work of a node.
struct Background {
    router: Arc<Router>,
    domains: Vec<Domain>,
    expiring: Vec<Arc<dyn Expire>>,
    /// When expired records are looked for next.
    expire_at: Duration,
    /// The domain that comes next.
    next: usize,
    back_off: Duration,
}

/// The round of a domain, as far as this node has a part in it.
struct Domain {
    name: String,
    maintenance: Maintenance,
    done: Work,
    /// When there is something to do again, in time since 1970.
    idle_until: Duration,
    began: Option<Duration>,
}

impl Background {
    fn new(router: &Arc<Router>) -> Self {
        let domains = of_domains(&router.config, &router.stores).into_iter();
        let domains = domains.map(|(name, maintenance)| Domain {
            name,
            maintenance,
            done: Work::default(),
            idle_until: Duration::ZERO,
            began: None,
        });
        Self {
            domains: domains.collect(),
            expiring: router.stores.expiring(),
            expire_at: Duration::ZERO,
            next: 0,
            back_off: BACK_OFF,
            router: router.clone(),
        }
    }

    fn metrics(&self) -> &MaintenanceMetrics {
        &self.router.metrics.maintenance
    }

    /// Does a step of something; how long to rest.
    async fn step(&mut self) -> Duration {
        let now = self.router.clock.now();
        if now >= self.expire_at && !self.expiring.is_empty() {
            return self.expire(now).await;
        }
        let domains = self.domains.len();
        let due = (0..domains).map(|step| (self.next + step) % domains);
        let mut due = due.filter(|at| self.domains[*at].idle_until <= now);
        let Some(at) = due.next() else {
            return self.idle(now);
        };
        self.next = at + 1;
        let domain = &mut self.domains[at];
        let stepped = domain.maintenance.step(now).await;
        let metrics = &self.router.metrics.maintenance;
        match stepped {
            Ok(Step::Worked(work)) => {
                metrics.work(&work);
                metrics.step(if work.throttled {
                    "throttled"
                } else {
                    "worked"
                });
                domain.began.get_or_insert(now);
                domain.done += work;
                if work.throttled {
                    return self.backed_off();
                }
            }
            Ok(Step::Taken) => metrics.step("taken"),
            Ok(Step::Idle { until }) => {
                domain.idle_until = until;
                if let Some(began) = domain.began.take() {
                    metrics.round_ended(&domain.name, now.as_secs());
                    domain.tell(now.saturating_sub(began));
                }
            }
            Err(error) => {
                metrics.step("failed");
                tracing::warn!(domain = %domain.name, %error, kind = ?error.kind(), "maintenance failed; it goes on later");
                return self.backed_off();
            }
        }
        self.back_off = BACK_OFF;
        self.router.config.maintenance.pause
    }

    /// How long there is nothing to do.
    fn idle(&self, now: Duration) -> Duration {
        let until = self.domains.iter().map(|domain| domain.idle_until).min();
        let expiring = Some(self.expire_at).filter(|_| !self.expiring.is_empty());
        let next = until.into_iter().chain(expiring).min();
        let rest = next.map_or(LONGEST, |next| next.saturating_sub(now));
        let settings = &self.router.config.maintenance;
        rest.min(LONGEST).min(settings.interval).max(settings.pause)
    }

    /// Longer each time, until a step succeeds.
    fn backed_off(&mut self) -> Duration {
        let rest = self.back_off.max(self.router.config.maintenance.pause);
        self.back_off = (self.back_off * 2).min(LONGEST);
        rest
    }

    /// Removes some of what has expired.
    async fn expire(&mut self, now: Duration) -> Duration {
        let mut more = false;
        for expiring in &self.expiring {
            match expiring.expire(now.as_secs(), EXPIRED_AT_ONCE).await {
                Ok(removed) => {
                    self.metrics().expired(removed);
                    more |= removed >= EXPIRED_AT_ONCE as u64;
                }
                Err(error) => {
                    tracing::warn!(%error, "expired records not removed; they are later");
                }
            }
        }
        if !more {
            self.expire_at = now + EXPIRE;
        }
        self.router.config.maintenance.pause
    }
}

impl Domain {
    /// A line about the part that this node had in a round.
    fn tell(&mut self, elapsed: Duration) {
        let done = std::mem::take(&mut self.done);
        tracing::info!(
            domain = %self.name,
            seconds = elapsed.as_secs(),
            accounts = done.accounts,
            segments = done.segments,
            entries = done.entries,
            dropped = done.dropped,
            swept = done.swept,
            failed = done.failed,
            "a round of maintenance is over"
        );
    }
}
