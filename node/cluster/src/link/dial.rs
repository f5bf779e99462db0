//! Dialling: one task for each address, which looks what is missing there and dials it.

use std::{io, sync::Arc};

use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep_until, timeout},
};

use super::{
    Class, Gone,
    handshake::{self, NoLink, WITHIN},
    hello::Refusal,
    inner::Inner,
    peer::Peer,
};
use crate::NodeId;

/// Addresses at once: what was asked for, and what peers advertise.
const MAX_TARGETS: usize = 2_048;
/// Of them, what was asked for.
const MAX_ASKED: usize = 1_024;
/// The first wait after a failure; each further one is twice as long.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);
/// How often an address is tried at which the node met itself.
const MYSELF: Duration = Duration::from_secs(60);

/// An address that is dialled.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// By the caller; otherwise because a peer advertises it.
    is_asked: bool,
    /// Who answered last.
    node: Option<NodeId>,
    trouble: Option<String>,
}

/// An address that is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetInfo {
    /// The address.
    pub address: String,
    /// Whether the caller asked for it; otherwise a peer advertises it.
    pub is_asked: bool,
    /// Who answered there last.
    pub node: Option<NodeId>,
    /// What was wrong the last time, if anything.
    pub trouble: Option<String>,
}

/// What there is to do at an address.
enum Work {
    Dial([bool; 3]),
    /// Nothing before then.
    Wait(Option<Instant>),
    Stop,
}

impl Inner {
    pub(super) fn connect(self: &Arc<Self>, address: &str) {
        let mut targets = self.targets.lock();
        let asked = targets.values().filter(|target| target.is_asked).count();
        if let Some(target) = targets.get_mut(address) {
            target.is_asked = true;
        } else if asked < MAX_ASKED && targets.len() < MAX_TARGETS {
            let is_asked = true;
            let target = Target {
                is_asked,
                ..Target::default()
            };
            targets.insert(address.to_owned(), target);
            self.spawn(keep(self.clone(), address.to_owned()));
        } else {
            tracing::error!(address, "too many addresses of nodes, this one is left out");
        }
        drop(targets);
        self.changed.send_replace(());
    }

    pub(super) fn disconnect(&self, address: &str) {
        if let Some(target) = self.targets.lock().get_mut(address) {
            target.is_asked = false;
        }
        self.changed.send_replace(());
    }

    /// Dials a new peer at the address it advertises, whenever something of it is missing.
    pub(super) fn dial_peer(self: &Arc<Self>, peer: &Peer) {
        let mut targets = self.targets.lock();
        if targets.contains_key(&peer.address) || targets.len() >= MAX_TARGETS {
            return;
        }
        let node = Some(peer.node);
        let target = Target {
            node,
            ..Target::default()
        };
        targets.insert(peer.address.clone(), target);
        self.spawn(keep(self.clone(), peer.address.clone()));
    }

    pub(super) fn targets(&self) -> Vec<TargetInfo> {
        let targets = self.targets.lock();
        let info = |(address, target): (&String, &Target)| TargetInfo {
            address: address.clone(),
            is_asked: target.is_asked,
            node: target.node,
            trouble: target.trouble.clone(),
        };
        targets.iter().map(info).collect()
    }

    /// What is missing at this address. If nothing will be, it is not dialled any more.
    fn work(&self, address: &str) -> Work {
        let mut targets = self.targets.lock();
        let Some(target) = targets.get(address) else {
            return Work::Stop;
        };
        let known = target.node.and_then(|node| self.peer(node));
        // Whoever was dialled elsewhere and is expected here: the newest life that advertises this address.
        let Some(peer) = known.or_else(|| self.advertiser(address)) else {
            if target.is_asked {
                return Work::Dial([true, false, false]);
            }
            targets.remove(address);
            return Work::Stop;
        };
        drop(targets);
        let from = Class::ALL.map(|class| peer.lane(class).dial_from());
        let now = Instant::now();
        let due = from.map(|from| from.is_some_and(|from| from <= now));
        if due.contains(&true) {
            return Work::Dial(due);
        }
        Work::Wait(from.into_iter().flatten().min())
    }

    fn advertiser(&self, address: &str) -> Option<Arc<Peer>> {
        let peers = self.peers();
        let found = peers.values().find(|peer| peer.address == address);
        found.cloned()
    }

    /// Dials one connection; who answered.
    async fn dial(self: &Arc<Self>, address: &str, class: Class) -> Result<NodeId, NoLink> {
        let dialling = timeout(WITHIN, self.config.network.dial(address)).await;
        let stream = dialling.map_err(|_| NoLink::Slow)??;
        let introduced = handshake::dial(self, stream, class).await?;
        if introduced.hello.class != class as u8 {
            return Err(Refusal::Malformed("another class").into());
        }
        let node = introduced.hello.node();
        self.agree(introduced).await?;
        Ok(node)
    }

    /// Dials what is missing, all at once. The first that failed, if one did.
    async fn dial_all(
        self: &Arc<Self>,
        address: &str,
        missing: [bool; 3],
    ) -> Result<NodeId, NoLink> {
        let one = |class: Class| async move {
            let is_missing = missing[class as usize];
            if is_missing {
                Some(self.dial(address, class).await)
            } else {
                None
            }
        };
        let [control, data, bulk] = Class::ALL.map(one);
        let (control, data, bulk) = tokio::join!(control, data, bulk);
        let dialled = [control, data, bulk].into_iter().flatten();
        dialled
            .reduce(|first, next| first.and(next))
            .unwrap_or(Err(NoLink::Slow))
    }

    /// Notes how dialling went.
    fn dialled(&self, address: &str, outcome: &Result<NodeId, NoLink>) {
        if matches!(outcome, Err(NoLink::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
        {
            self.gone_from(address, Gone::Refused);
        }
        let mut targets = self.targets.lock();
        let Some(target) = targets.get_mut(address) else {
            return;
        };
        let trouble = outcome.as_ref().err().map(ToString::to_string);
        if let (Some(error), true) = (&trouble, trouble != target.trouble) {
            tracing::warn!(address, error, "cannot reach a node");
        }
        target.trouble = trouble;
        if let Ok(node) = outcome {
            target.node = Some(*node);
        }
    }
}

/// Keeps an address dialled, until nobody asks for it.
async fn keep(inner: Arc<Inner>, address: String) {
    let mut changed = inner.changed.subscribe();
    let mut failures = 0;
    // Different for each node and address, so that nodes do not dial in step; the same in each run of a test.
    let seeds = foldhash::quality::FixedState::with_seed(inner.config.node.0);
    loop {
        changed.borrow_and_update();
        let missing = match inner.work(&address) {
            Work::Stop => return,
            Work::Wait(until) => {
                wait(&mut changed, until).await;
                continue;
            }
            Work::Dial(missing) => missing,
        };
        let outcome = Box::pin(inner.dial_all(&address, missing)).await;
        inner.dialled(&address, &outcome);
        let rest = match &outcome {
            Ok(_) => {
                failures = 0;
                continue;
            }
            Err(NoLink::Refused(Refusal::Myself)) => MYSELF,
            Err(_) => {
                failures += 1;
                let hash = std::hash::BuildHasher::hash_one(&seeds, (&address, failures));
                back_off(failures, (hash >> 11) as f64 / (1u64 << 53) as f64)
            }
        };
        tokio::time::sleep(rest).await;
    }
}

async fn wait(changed: &mut watch::Receiver<()>, until: Option<Instant>) {
    let change = async {
        // The sender lives as long as the task that waits.
        let _ = changed.changed().await;
    };
    match until {
        None => change.await,
        Some(until) => tokio::select! {
            () = change => {}
            () = sleep_until(until) => {}
        },
    }
}

/// The wait after so many failures; `random` from 0 up to 1.
fn back_off(failures: u32, random: f64) -> Duration {
    let full = SHORTEST * 2u32.pow((failures - 1).min(8));
    full.min(LONGEST).mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_spread() {
        let check = |failures, random, millis| {
            assert_eq!(back_off(failures, random), Duration::from_millis(millis));
        };
        check(1, 0.0, 50);
        check(1, 1.0, 100);
        check(2, 0.5, 150);
        check(5, 0.0, 800);
        check(6, 0.0, 1_500);
        check(40, 1.0, 3_000);
    }
}
