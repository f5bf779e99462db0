//! Processes that come: with nothing but the name of their cluster they find each other in the store.

use std::net::IpAddr;
use std::time::Duration;

use services::{Dns, Redis};
use tests::faults::client::{Client, attr, message, name};
use tests::faults::node::{account, create_accounts};
use tests::processes::{Processes, Shared, over_redis};

use crate::playing::Playing;

/// A client at each node, and a message from each to each.
pub(crate) async fn all_reach_all(cluster: &Processes, prefix: &str) {
    let names: Vec<String> = (0..cluster.nodes.len())
        .map(|at| format!("{prefix}{at}"))
        .collect();
    let stores = cluster.stores().await.unwrap();
    create_accounts(&stores, names.iter().cloned())
        .await
        .unwrap();
    let mut clients = Vec::new();
    for (node, name) in cluster.nodes.iter().zip(&names) {
        clients.push(Client::online(node.plain, name, "phone").await.unwrap());
    }
    for from in 0..names.len() {
        for (to, client) in names.iter().enumerate().filter(|(to, _)| *to != from) {
            let id = format!("{from}-{to}");
            let text = message(account(client).as_str(), &id, "over nodes");
            clients[from].send(&text).await.unwrap();
            let is_it = |text: &str| name(text) == "message" && attr(text, "id") == Some(&id);
            let got = clients[to].until(is_it).await.unwrap();
            assert!(attr(&got, "from").unwrap().starts_with(&names[from]));
        }
    }
}

async fn three_find_each_other(shared: Shared, cluster: &str) {
    let cluster = Processes::start(3, shared, cluster).await.unwrap();
    found_each_other(&cluster).await;
}

/// Three nodes that have formed a cluster of themselves.
pub(crate) async fn found_each_other(cluster: &Processes) {
    let took: Vec<_> = cluster.nodes.iter().map(|node| node.took).collect();
    println!("three nodes that start at once take clients after {took:?}");
    all_reach_all(cluster, "user").await;
    let epochs = cluster.nodes.iter();
    let epochs: Vec<_> = epochs
        .map(|node| node.metric("xmpp_cluster_view_changes"))
        .collect();
    assert!(epochs.iter().all(|it| *it == epochs[0]), "{epochs:?}");
    for node in &cluster.nodes {
        let facts = node.facts().unwrap();
        let (status, troubles) = (facts.cluster.as_ref().unwrap(), facts.troubles());
        assert_eq!(status.members.len(), 3, "{status:?}");
        assert_eq!(status.links.len(), 2, "{status:?}");
        assert!(troubles.is_empty(), "{troubles:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_find_each_other_in_a_database() {
    three_find_each_other(Shared::database().unwrap(), "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_find_each_other_in_the_cloud() {
    three_find_each_other(Shared::cloud().unwrap(), "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_find_each_other_with_redis() {
    let redis = tokio::task::block_in_place(Redis::start).unwrap();
    three_find_each_other(Shared::chosen().unwrap(), &over_redis(&redis)).await;
}

/// A name with the addresses of all, or a service with their ports: each node asks a server of names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_find_each_other_by_dns() {
    let port = services::free_port().unwrap();
    let dns = Dns::start().await.unwrap();
    let addresses: Vec<_> = (1..=3).map(|n| IpAddr::from([127, 0, 0, n])).collect();
    dns.set_addresses("nodes.example.org", 1, &addresses);
    let hosts: Vec<_> = (1..=3).map(|n| format!("node{n}.example.org")).collect();
    for (host, address) in hosts.iter().zip(&addresses) {
        dns.set_addresses(host, 1, &[*address]);
    }
    let services: Vec<_> = hosts.iter().map(|host| (0, 0, port, &**host)).collect();
    dns.set_services("_starling._tcp.example.org", 1, &services);
    for query in ["nodes.example.org", "_starling._tcp.example.org"] {
        let lines = format!(
            "listen = \"127.0.0.{{number}}:{port}\"\ndns = \"{query}\"\ndns_servers = [\"{}\"]",
            dns.address()
        );
        let shared = Shared::database().unwrap();
        three_find_each_other(shared, &lines).await;
    }
}

/// As operators without a registry write it: addresses of this machine's loopback network, and a secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_find_each_other_by_a_list() {
    let port = services::free_port().unwrap();
    let nodes: Vec<_> = (1..=3).map(|n| format!("127.0.0.{n}:{port}")).collect();
    let lines = format!(
        "listen = \"127.0.0.{{number}}:{port}\"\nnodes = {nodes:?}\nsecret = \"sixteen bytes...\""
    );
    three_find_each_other(Shared::chosen().unwrap(), &lines).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_comes_under_load() {
    let mut playing = Playing::begin(3, "").await;
    let cluster = &mut playing.cluster;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let took = cluster.launch().unwrap();
    println!("a fourth node takes clients {took:?} after its start");
    cluster.agree(4).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let pipes = cluster
        .nodes
        .iter()
        .map(|node| node.metric("xmpp_cluster_pipes"));
    let pipes: Vec<_> = pipes.collect();
    println!("pipes {pipes:?}");
    let (counts, _) = playing.end().await;
    assert!(counts.promised > 100);
    all_reach_all(&playing.cluster, "late").await;
}
