//! A rolling upgrade under load: nodes of an earlier commit and of this one are one cluster, and go one after another. And back.
//!
//! `STARLING_PREVIOUS_BIN`: the program of the earlier commit, which `tests/previous` builds.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tests::faults::actor::all_resumed;
use tests::processes::{Node, Processes, Shared};
use tests::server::starling_binary;

use crate::ALL;
use crate::playing::Playing;

/// The program of the earlier commit.
fn previous() -> PathBuf {
    let path = std::env::var_os("STARLING_PREVIOUS_BIN");
    path.expect("STARLING_PREVIOUS_BIN is not set: tests/previous builds what it names")
        .into()
}

/// What a node runs, as the system knows it.
fn program(node: &Node) -> PathBuf {
    std::fs::read_link(format!("/proc/{}/exe", node.process().id())).unwrap()
}

/// Replaces all nodes by nodes of this program: the oldest goes, and one more comes.
async fn replace_all(playing: &mut Playing, binary: &Path) {
    let binary = binary.canonicalize().unwrap();
    let nodes = playing.cluster.nodes.len();
    playing.cluster.binary.clone_from(&binary);
    for _ in 0..nodes {
        let began = Instant::now();
        let (status, log) = playing.cluster.stop(0).unwrap();
        assert!(status.success(), "{log}");
        playing.cluster.agree(nodes - 1).unwrap();
        let left = began.elapsed();
        playing.cluster.launch().unwrap();
        playing.cluster.agree(nodes).unwrap();
        println!("one is replaced after {:?} ({left:?})", began.elapsed());
        playing.print_silences("meanwhile", &ALL, began);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for node in &playing.cluster.nodes {
        assert_eq!(program(node), binary);
    }
}

async fn nothing_is_lost(programs: &[PathBuf]) {
    let shared = Shared::database().unwrap();
    let cluster = Processes::start_as(3, shared, "", programs[0].clone(), None);
    let at = |cluster: &Processes, _| cluster.balancer.address;
    let mut playing = Playing::begin_on(cluster.await.unwrap(), at).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for program in &programs[1..] {
        replace_all(&mut playing, program).await;
    }
    let (counts, story) = playing.end().await;
    assert!(counts.promised > 100 && counts.refused == 0);
    all_resumed(&story);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of an earlier commit: tests/previous"]
async fn an_upgrade_one_node_after_another_loses_nothing() {
    nothing_is_lost(&[previous(), starling_binary().unwrap()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of an earlier commit: tests/previous"]
async fn an_upgrade_that_is_taken_back_loses_nothing() {
    nothing_is_lost(&[previous(), starling_binary().unwrap(), previous()]).await;
}
