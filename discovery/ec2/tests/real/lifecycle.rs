//! From the group's decision through the hook to the end of the instance, against moto.

use std::time::Duration;

use crate::common::Cluster;
use discovery::{
    ErrorKind, Instance,
    instance::{LifecycleState, Notice, watch},
};
use discovery_ec2::{Held, Hook, Lifecycle, Outcome, Transition};
use services::Fault;

async fn terminating(cluster: &Cluster, lifecycle: &Lifecycle) -> Hook {
    let hooks = lifecycle
        .hooks(cluster.group, Transition::Terminating)
        .await;
    let [hook] = hooks.unwrap().try_into().unwrap();
    hook
}

fn state(cluster: &Cluster, id: &str) -> Option<String> {
    let members = cluster.moto.members(cluster.group).unwrap();
    members
        .into_iter()
        .find(|(member, _)| member == id)
        .map(|(_, state)| state)
}

#[tokio::test]
async fn the_group_of_an_instance() {
    let cluster = Cluster::start(2, &[]).await;
    let id = cluster.ids().remove(0);
    let lifecycle = Lifecycle::open(&cluster.access(), &id).await;
    cluster.faults.clear();
    let metadata: Instance = cluster.instance(&id).await;
    let group = lifecycle.group(Some(&metadata)).await.unwrap();
    assert_eq!(
        (group.as_deref(), cluster.faults.asked()),
        (Some(cluster.group), 0)
    );
    let group = lifecycle.group(None).await.unwrap();
    assert_eq!(
        (group.as_deref(), cluster.faults.asked()),
        (Some(cluster.group), 1)
    );
    // Metadata that are switched off are gone without.
    cluster.moto.disable_metadata(&id, true).unwrap();
    let group = lifecycle.group(Some(&metadata)).await.unwrap();
    assert_eq!(group.as_deref(), Some(cluster.group));

    let none = Lifecycle::open(&cluster.access(), "i-0123456789abcdef0").await;
    assert_eq!(none.group(None).await.unwrap(), None);
}

/// What a node does when its group shrinks.
#[tokio::test]
async fn a_drain_from_notice_to_end() {
    let hooks = [("drain", "TERMINATING", 3600), ("ready", "LAUNCHING", 3600)];
    let cluster = Cluster::start(0, &hooks).await;
    // Launched, and held until it says that it is ready.
    cluster.moto.scale(cluster.group, 1).unwrap();
    let id = cluster.ids().remove(0);
    assert_eq!(state(&cluster, &id).as_deref(), Some("Pending:Wait"));
    let instance = cluster.instance(&id).await;
    let lifecycle = Lifecycle::open(&cluster.access(), &id).await;
    let group = lifecycle.group(Some(&instance)).await.unwrap().unwrap();
    let [ready] = lifecycle
        .hooks(&group, Transition::Launching)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        (&*ready.name, ready.patience),
        ("ready", Duration::from_secs(3600))
    );
    let drain = terminating(&cluster, &lifecycle).await;
    assert_eq!(&*drain.name, "drain");
    assert_eq!(
        lifecycle.complete(&drain, Outcome::Continue).await.unwrap(),
        Held::No
    );
    assert_eq!(
        lifecycle.complete(&ready, Outcome::Continue).await.unwrap(),
        Held::Yes
    );
    assert_eq!(state(&cluster, &id).as_deref(), Some("InService"));
    assert_eq!(lifecycle.heartbeat(&drain).await.unwrap(), Held::No);

    // Let go, told so by metadata alone, held while it drains.
    let mut notices = watch(instance, Duration::from_millis(20));
    cluster.moto.scale(cluster.group, 0).unwrap();
    assert_eq!(
        notices.next().await.unwrap(),
        Notice::Terminating(LifecycleState::Terminated)
    );
    assert_eq!(lifecycle.heartbeat(&drain).await.unwrap(), Held::Yes);
    assert_eq!(state(&cluster, &id).as_deref(), Some("Terminating:Wait"));
    assert_eq!(
        lifecycle.complete(&drain, Outcome::Continue).await.unwrap(),
        Held::Yes
    );
    assert_eq!(state(&cluster, &id), None);
    assert_eq!(
        lifecycle.complete(&drain, Outcome::Continue).await.unwrap(),
        Held::No
    );
}

/// Heartbeats hold it longer than the hook's patience, for 48 hours at most; without them it goes.
#[tokio::test]
async fn heartbeats_hold_and_silence_lets_go() {
    let cluster = Cluster::start(3, &[("drain", "TERMINATING", 100_000)]).await;
    let ids = cluster.ids();
    let lifecycle = Lifecycle::open(&cluster.access(), &ids[0]).await;
    let drain = terminating(&cluster, &lifecycle).await;
    cluster.moto.scale(cluster.group, 1).unwrap();
    let held = Some("Terminating:Wait");
    for (seconds, first, second) in [
        (90_000, held, held),
        // The second one sent no heartbeat.
        (20_000, held, None),
        (60_000, held, None),
    ] {
        cluster.moto.advance(seconds).unwrap();
        assert_eq!(state(&cluster, &ids[0]).as_deref(), first, "{seconds}");
        assert_eq!(state(&cluster, &ids[1]).as_deref(), second, "{seconds}");
        assert_eq!(lifecycle.heartbeat(&drain).await.unwrap(), Held::Yes);
    }
    cluster.moto.advance(3_000).unwrap();
    assert_eq!(lifecycle.heartbeat(&drain).await.unwrap(), Held::No);
    assert_eq!(state(&cluster, &ids[0]), None);
    assert_eq!(state(&cluster, &ids[2]).as_deref(), Some("InService"));
}

/// While work goes on the instance is held, through heartbeats that fail.
#[tokio::test]
async fn held_while_work_goes_on() {
    let cluster = Cluster::start(1, &[("drain", "TERMINATING", 600)]).await;
    let id = cluster.ids().remove(0);
    let lifecycle = Lifecycle::open(&cluster.access(), &id).await;
    let drain = terminating(&cluster, &lifecycle).await;
    cluster.moto.scale(cluster.group, 0).unwrap();
    // It is in a greater hurry than the group, so that this takes no ten minutes.
    let hasty = Hook {
        patience: Duration::from_millis(30),
        ..drain.clone()
    };
    cluster.faults.clear();
    cluster
        .faults
        .add(1, Fault::query(403, "AccessDenied"), |_| true);
    let work = async {
        for _ in 0..3 {
            let before = cluster.faults.asked();
            // The first of two may have begun before the time passed.
            cluster.moto.advance(250).unwrap();
            while cluster.faults.asked() < before + 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        "drained"
    };
    assert_eq!(lifecycle.hold_while(&[hasty], work).await, "drained");
    assert_eq!(cluster.faults.hits(), 1);
    assert_eq!(
        lifecycle.complete(&drain, Outcome::Continue).await.unwrap(),
        Held::Yes
    );
    // Without hooks there is nothing but the work.
    assert_eq!(lifecycle.hold_while(&[], async { 7 }).await, 7);
}

#[tokio::test]
async fn a_failed_launch_is_abandoned() {
    let cluster = Cluster::start(1, &[("ready", "LAUNCHING", 3600)]).await;
    let id = cluster.ids().remove(0);
    let lifecycle = Lifecycle::open(&cluster.access(), &id).await;
    let hooks = lifecycle
        .hooks(cluster.group, Transition::Launching)
        .await
        .unwrap();
    assert_eq!(
        lifecycle
            .complete(&hooks[0], Outcome::Abandon)
            .await
            .unwrap(),
        Held::Yes
    );
    // Another takes its place.
    let ids = cluster.ids();
    assert!(ids.len() == 1 && ids[0] != id, "{ids:?} {id}");
}

#[tokio::test]
async fn completing_through_faults() {
    let cluster = Cluster::start(4, &[("drain", "TERMINATING", 3600)]).await;
    let ids = cluster.ids();
    cluster.moto.scale(cluster.group, 0).unwrap();
    for (id, fault, expected) in [
        (&ids[0], Fault::query(400, "Throttling"), Held::Yes),
        (&ids[1], Fault::query(500, "ResourceContention"), Held::Yes),
        (&ids[2], Fault::Reset, Held::Yes),
        // It was done, which only its repeat can tell.
        (&ids[3], Fault::LoseAnswer, Held::No),
    ] {
        let lifecycle = Lifecycle::open(&cluster.access(), id).await;
        let drain = terminating(&cluster, &lifecycle).await;
        cluster.faults.clear();
        cluster.faults.add(1, fault.clone(), |_| true);
        let held = lifecycle.complete(&drain, Outcome::Continue).await.unwrap();
        assert_eq!(held, expected, "{fault:?}");
        assert_eq!(
            (cluster.faults.asked(), cluster.faults.hits()),
            (2, 1),
            "{fault:?}"
        );
        assert_eq!(state(&cluster, id), None, "{fault:?}");
    }
    let lifecycle = Lifecycle::open(&cluster.access(), &ids[0]).await;
    let drain = terminating(&cluster, &lifecycle).await;
    for (code, kind) in [
        ("AccessDenied", ErrorKind::Denied),
        ("ValidationError", ErrorKind::Malformed),
    ] {
        cluster.faults.clear();
        cluster.faults.add(1, Fault::query(400, code), |_| true);
        let error = lifecycle
            .complete(&drain, Outcome::Continue)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
    }
}
