//! What an operator does with a cluster, at the command line of one of its nodes.

use std::time::{Duration, Instant};

use starling::status::Facts;
use tests::processes::{Node, Processes, Shared};

/// Runs `starling cluster` there, which must end so; what it answers.
#[track_caller]
fn cluster(node: &Node, arguments: &[&str], code: i32) -> String {
    let arguments = [&["cluster"], arguments].concat();
    let output = tokio::task::block_in_place(|| node.command(&arguments)).unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn id(node: &Node) -> String {
    node.facts().unwrap().cluster.unwrap().node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_all_members_at_each() {
    let shared = Shared::chosen().unwrap();
    let nodes = Processes::start(3, shared, "").await.unwrap().nodes;
    let ids: Vec<String> = nodes.iter().map(id).collect();
    for node in &nodes {
        let text = cluster(node, &["status"], 0);
        assert!(
            text.starts_with("cluster tests: 3 members, epoch "),
            "{text}"
        );
        let json = cluster(node, &["status", "--json"], 0);
        let facts: Facts = serde_json::from_str(&json).unwrap();
        assert_eq!(facts.cluster.unwrap().members.len(), 3);
        let page = node.page("/status").unwrap();
        assert!(page.contains("<h2>3 members</h2>"), "{page}");
        for id in &ids {
            assert!(
                text.contains(id) && page.contains(id),
                "{id}\n{text}\n{page}"
            );
        }
        println!("{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_node_comes_back_in_another_life() {
    let shared = Shared::chosen().unwrap();
    let nodes = Processes::start(3, shared, "").await.unwrap();
    let fenced = id(&nodes.nodes[2]);
    // Nobody is there to be asked: nothing is done.
    cluster(&nodes.nodes[0], &["fence", &fenced], 3);
    cluster(&nodes.nodes[0], &["fence", "nobody", "--yes"], 3);
    assert_eq!(id(&nodes.nodes[2]), fenced);
    cluster(&nodes.nodes[0], &["fence", &fenced, "--yes"], 0);
    let until = Instant::now() + Duration::from_secs(60);
    while id(&nodes.nodes[2]) == fenced {
        assert!(Instant::now() < until, "{}", nodes.nodes[2].log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    nodes.agree(3).unwrap();
    let text = cluster(&nodes.nodes[0], &["status"], 0);
    assert!(!text.contains(&fenced), "{text}");
    // That life is over, and another command for it is about nobody.
    cluster(&nodes.nodes[0], &["fence", &fenced, "--yes"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_while_the_secret_is_replaced_joins() {
    let shared = Shared::chosen().unwrap();
    let mut nodes = Processes::start(2, shared, "").await.unwrap();
    cluster(&nodes.nodes[0], &["secret-rotate"], 0);
    // The new one has read both secrets, the others have not read the new one yet.
    nodes.launch().unwrap();
    nodes.agree(3).unwrap();
    // One at a time, whichever node is asked.
    cluster(&nodes.nodes[1], &["secret-rotate"], 3);
    let secret = nodes.nodes[2].facts().unwrap().secret.unwrap();
    assert_eq!(secret.rotation, "announced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_written_secret_is_not_the_cluster_s_to_replace() {
    let shared = Shared::chosen().unwrap();
    let lines = "secrets = [\"a secret that an operator wrote\"]";
    let nodes = Processes::start(1, shared, lines).await.unwrap().nodes;
    cluster(&nodes[0], &["secret-rotate"], 3);
    assert_eq!(nodes[0].facts().unwrap().secret, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_itself_is_waited_for() {
    let shared = Shared::chosen().unwrap();
    let mut nodes = Processes::start(2, shared, "").await.unwrap();
    let told = cluster(&nodes.nodes[1], &["drain", "--self"], 0);
    println!("{told}");
    let (status, log) = nodes.ended(1).unwrap();
    assert!(status.success(), "{log}");
    nodes.agree(1).unwrap();
    // Who has left is a member until the directory has heard of it.
    while nodes.nodes[0]
        .facts()
        .unwrap()
        .cluster
        .unwrap()
        .members
        .len()
        > 1
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster(&nodes.nodes[0], &["status"], 0);
}
