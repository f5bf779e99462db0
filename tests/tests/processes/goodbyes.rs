//! What clients and operators are told when a node goes: where else to go, and what was not handed over.

use std::time::{Duration, Instant};

use tests::faults::client::{Client, name};
use tests::faults::node::create_accounts;
use tests::processes::{Node, Processes, Shared};

use starling::membership::Phase;

/// So many that each of two nodes serves some of them.
const CLIENTS: usize = 24;
/// A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(60);

async fn clients(cluster: &Processes, at: &Node) -> Vec<Client> {
    let names: Vec<_> = (0..CLIENTS).map(|number| format!("user{number}")).collect();
    let stores = cluster.stores().await.unwrap();
    create_accounts(&stores, names.iter().cloned())
        .await
        .unwrap();
    let mut clients = Vec::new();
    for name in &names {
        clients.push(Client::online(at.plain, name, "phone").await.unwrap());
    }
    clients
}

/// Clients are sent to another node by name, and to none that goes itself, wherever their sessions are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_without_resumption_are_sent_to_another_node() {
    let shared = Shared::database().unwrap();
    let lines = "client_address = \"node{number}.example.org:5222\"";
    let mut cluster = Processes::start(2, shared, lines).await.unwrap();
    let clients = clients(&cluster, &cluster.nodes[0]).await;
    let here = cluster.nodes[0].facts().unwrap().accounts;
    let (status, log) = cluster.stop(0).unwrap();
    assert!(status.success(), "{log}");
    let mut sent = 0;
    for mut client in clients {
        let error = client.until(|text| name(text) == "stream:error").await;
        let error = error.unwrap();
        let condition = "<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>\
                         node2.example.org:5222</see-other-host>";
        assert!(error.contains(condition), "{error}");
        sent += 1;
    }
    println!("{sent} of {CLIENTS} clients were sent to the other node, whose sessions were {here}");
    assert!(sent == CLIENTS && (1..CLIENTS).contains(&here), "{here}");
    // The last one has nowhere to send anybody.
    let mut last = Client::online(cluster.nodes[0].plain, "user0", "phone")
        .await
        .unwrap();
    let (status, log) = cluster.stop(0).unwrap();
    assert!(status.success(), "{log}");
    let error = last.until(|text| name(text) == "stream:error").await;
    let error = error.unwrap();
    assert!(error.contains("<system-shutdown"), "{error}");
}

/// Told twice to stop, a node goes at once, and says what it had not handed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hands_over_too_little_says_so() {
    let shared = Shared::database().unwrap();
    let mut cluster = Processes::start(2, shared, "").await.unwrap();
    let _clients = clients(&cluster, &cluster.nodes[0]).await;
    // Nobody takes over.
    let heir = &cluster.nodes[1];
    tokio::task::block_in_place(|| heir.process().freeze()).unwrap();
    let leaving = &cluster.nodes[0];
    let here = leaving.facts().unwrap().accounts;
    assert!(here > 0);
    leaving.process().tell_to_end().unwrap();
    let phase = || leaving.facts().unwrap().cluster.unwrap().phase;
    let until = Instant::now() + PATIENCE;
    while phase() != Phase::Leaving {
        assert!(Instant::now() < until, "{}", leaving.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    leaving.process().tell_to_end().unwrap();
    let (status, log) = cluster.ended(0).unwrap();
    assert_eq!(status.code(), Some(7), "{log}");
    let said = format!("{here} accounts were not handed over in time");
    assert!(log.contains(&said), "{said}\n{log}");
}

/// A cluster whose last node has stopped in good order begins again without waiting for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_begins_again_at_once() {
    let shared = Shared::database().unwrap();
    let mut cluster = Processes::start(2, shared, "").await.unwrap();
    for _ in 0..2 {
        let (status, log) = cluster.stop(0).unwrap();
        assert!(status.success(), "{log}");
    }
    let took = cluster.launch().unwrap();
    println!("the first node of a cluster that begins again takes clients after {took:?}");
    cluster.agree(1).unwrap();
    let status = cluster.nodes[0].facts().unwrap().cluster.unwrap();
    assert_eq!(status.generation, 2);
    let log = cluster.nodes[0].log();
    assert!(!log.contains("WARN starling::membership"), "{log}");
}
