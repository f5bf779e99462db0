//! SIGTERM under load: a node hands over what it has, and goes.

use std::time::{Duration, Instant};

use tests::faults::actor::all_resumed;
use tests::processes::{Processes, Shared};

use crate::playing::Playing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_loses_nothing() {
    let mut playing = Playing::begin(3, "").await;
    let cluster = &mut playing.cluster;
    for left in [2, 1] {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let began = Instant::now();
        let (status, log) = cluster.stop(0).unwrap();
        println!("a node has left after {:?}", began.elapsed());
        assert!(status.success(), "{log}");
        let ours = [" WARN starling::membership", " WARN starling::serve"];
        let warns = |line: &str| ours.iter().any(|warning| line.contains(warning));
        assert!(!log.lines().any(warns), "{log}");
        cluster.agree(left).unwrap();
    }
    let (counts, story) = playing.end().await;
    assert!(counts.promised > 100 && counts.refused == 0);
    all_resumed(&story);
}

/// An operator at one node has another one leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_leaves_when_another_is_told_so() {
    let shared = Shared::chosen().unwrap();
    let mut cluster = Processes::start(3, shared, "").await.unwrap();
    let status = cluster.nodes[2].facts().unwrap().cluster.unwrap();
    let command = ["cluster", "drain", &status.address];
    let told = cluster.nodes[0].command(&command).unwrap();
    assert!(told.status.success(), "{told:?}");
    let (status, log) = cluster.ended(2).unwrap();
    assert!(status.success(), "{log}");
    cluster.agree(2).unwrap();
}
