//! What nodes of a cluster share: one of those who race wins, and all others see what it did.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{done, refused};
use crate::{
    clock::{Clock, ManualClock},
    error::{ErrorKind, Result},
    repository::{ClusterSecrets, Control, FounderRow, NodeRow, Rotation},
    shape::Table,
};

/// How many race.
const RACERS: u64 = 8;

/// Runs all of it on a table that reads this clock. Each racer has a [`Control`] of its own, as nodes do.
pub async fn control(table: Arc<dyn Table>, clock: ManualClock) {
    founder(&table).await;
    racing_founders(&table).await;
    nodes(&table, &clock).await;
    secrets(&table).await;
    racing_secrets(&table).await;
    racing_rotations(&table).await;
}

fn row(generation: u64, founder: u64, beat: u64) -> FounderRow {
    FounderRow {
        generation,
        founder,
        beat,
    }
}

async fn founder(table: &Arc<dyn Table>) {
    let [one, two] = [(); 2].map(|()| Control::new(table.clone(), "founding"));
    let other = Control::new(table.clone(), "founding-2");
    assert_eq!(done(one.founder().await), None);
    let check = async |who: &Control, seen, next, expected, stands| {
        assert_eq!(done(who.swap_founder(seen, next).await), expected);
        assert_eq!(done(two.founder().await), stands);
    };
    let (first, beaten, anew) = (row(1, 7, 0), row(1, 7, 1), row(2, u64::MAX, 0));
    check(&one, Some(first), beaten, false, None).await;
    check(&one, None, first, true, Some(first)).await;
    check(&one, None, anew, false, Some(first)).await;
    check(&one, Some(first), beaten, true, Some(beaten)).await;
    // What this node has not written is known to it only if it reads, and what it remembers is not what stands.
    check(&two, Some(beaten), anew, true, Some(anew)).await;
    check(&one, Some(beaten), row(1, 7, 2), false, Some(anew)).await;
    let last = row(2, u64::MAX, 1);
    check(&one, Some(anew), last, true, Some(last)).await;
    assert_eq!(done(other.founder().await), None);
}

/// What each of several nodes got that did the same at the same moment.
async fn race<T: Send + 'static, F>(
    table: &Arc<dyn Table>,
    cluster: &'static str,
    run: impl Fn(Control, u64) -> F,
) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let mut racers = JoinSet::new();
    for racer in 0..RACERS {
        racers.spawn(run(Control::new(table.clone(), cluster), racer));
    }
    racers.join_all().await
}

async fn racing_founders(table: &Arc<dyn Table>) {
    for generation in 1..=3 {
        let wins = race(table, "racing", move |control, racer| async move {
            let seen = done(control.founder().await);
            let is_new = seen.is_none_or(|seen| seen.generation < generation);
            let next = row(generation, racer, 0);
            (is_new && done(control.swap_founder(seen, next).await)).then_some(next)
        });
        let wins: Vec<_> = wins.await.into_iter().flatten().collect();
        let found = done(Control::new(table.clone(), "racing").founder().await);
        assert_eq!(wins, Vec::from_iter(found), "one of them founded");
    }
}

async fn nodes(table: &Arc<dyn Table>, clock: &ManualClock) {
    let control = Control::new(table.clone(), "listing");
    let other = Control::new(table.clone(), "listin");
    let node = |node: &str, address: &str, lifetime| NodeRow {
        node: node.to_owned(),
        address: address.parse().expect("an address"),
        instance: None,
        zone: None,
        expires: clock.seconds() + lifetime,
    };
    let listed = async || done(control.nodes().await);
    done(control.swap_founder(None, row(1, 1, 0)).await);
    done(control.secrets(0).await);
    assert_eq!(listed().await, []);
    let far = NodeRow {
        instance: Some("i-0123456789abcdef0".into()),
        zone: Some("eu-central-1a".into()),
        ..node("2", "[2001:db8::1]:5270", 900)
    };
    let (one, ten) = (
        node("1", "10.0.0.1:5270", 60),
        node("10", "10.0.0.10:1", 900),
    );
    for row in [&far, &ten, &one] {
        done(control.put_node(row).await);
    }
    assert_eq!(listed().await, [one.clone(), ten.clone(), far.clone()]);
    // It is written again before it expires.
    clock.advance(Duration::from_secs(59));
    let renewed = node("1", "10.0.0.3:5270", 60);
    done(control.put_node(&renewed).await);
    clock.advance(Duration::from_secs(59));
    assert_eq!(listed().await, [renewed, ten.clone(), far.clone()]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(listed().await, [ten, far.clone()]);
    for _ in 0..2 {
        done(control.remove_node("10").await);
        assert_eq!(listed().await, std::slice::from_ref(&far));
    }
    assert_eq!(done(other.nodes().await), []);
}

async fn secrets(table: &Arc<dyn Table>) {
    let control = Control::new(table.clone(), "secret");
    let first = done(control.secrets(5).await);
    assert_eq!(
        (first.valid.len(), first.rotation, first.since),
        (1, Rotation::Settled, 5)
    );
    assert_eq!(done(control.secrets(6).await), first, "it is made once");
    let other = Control::new(table.clone(), "secret-2");
    assert_ne!(done(other.secrets(5).await).valid, first.valid);
    let old = &first.valid[0];
    let stands = async |stood, now| {
        done(
            control
                .step_secrets(&done(control.secrets(0).await), stood, now)
                .await,
        )
    };
    assert_eq!(stands(Duration::MAX, 6).await, None, "no rotation, no step");

    let announced = done(control.rotate_secret(10).await);
    let new = &announced.valid[1];
    assert_ne!(new, old);
    check(&control, [old, new], Rotation::Announced, 10).await;
    refused(control.rotate_secret(11).await, ErrorKind::Conflict);
    let short = Duration::from_millis(1);
    assert_eq!(stands(ClusterSecrets::SPREAD - short, 20).await, None);
    let proving = stands(ClusterSecrets::SPREAD, 20).await;
    check(&control, [new, old], Rotation::Proving, 20).await;
    assert_eq!(proving, Some(done(control.secrets(0).await)));
    // Who saw what no longer stands takes no step.
    let late = control.step_secrets(&announced, Duration::MAX, 21).await;
    refused(late, ErrorKind::Conflict);
    refused(control.rotate_secret(22).await, ErrorKind::Conflict);
    assert_eq!(stands(ClusterSecrets::KEEP - short, 30).await, None);
    assert!(stands(ClusterSecrets::KEEP, 30).await.is_some());
    check(&control, [new], Rotation::Settled, 30).await;
    done(control.rotate_secret(40).await);
}

async fn check<const N: usize>(
    control: &Control,
    valid: [&crate::repository::ClusterSecret; N],
    rotation: Rotation,
    since: u64,
) {
    let found = done(control.secrets(0).await);
    assert_eq!(found.valid.iter().collect::<Vec<_>>(), valid);
    assert_eq!((found.rotation, found.since), (rotation, since));
}

async fn racing_secrets(table: &Arc<dyn Table>) {
    let found: Vec<ClusterSecrets> = race(table, "first", |control, racer| async move {
        done(control.secrets(racer).await)
    })
    .await;
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
}

async fn racing_rotations(table: &Arc<dyn Table>) {
    let control = Control::new(table.clone(), "rotating");
    let former = done(control.secrets(0).await);
    let one_won = |results: Vec<Result<()>>| {
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        lost.into_iter()
            .for_each(|lost| refused(lost, ErrorKind::Conflict));
    };
    one_won(
        race(table, "rotating", |control, racer| async move {
            control.rotate_secret(racer).await.map(drop)
        })
        .await,
    );
    let announced = done(control.secrets(0).await);
    assert_eq!(announced.valid.first(), former.valid.first());
    for expected in [Rotation::Proving, Rotation::Settled] {
        let seen = done(control.secrets(0).await);
        let step = |control: Control, racer| {
            let seen = seen.clone();
            async move {
                let stepped = control.step_secrets(&seen, Duration::MAX, racer).await;
                stepped.map(|stepped| assert!(stepped.is_some()))
            }
        };
        one_won(race(table, "rotating", step).await);
        assert_eq!(done(control.secrets(0).await).rotation, expected);
    }
    assert_eq!(done(control.secrets(0).await).valid, announced.valid[1..]);
}
