//! The directory over real servers: alone, restarted, frozen, with TLS and a user, behind Sentinel, in cluster mode.

use std::collections::BTreeSet;

use redis::AsyncCommands as _;
use services::{Certificate, Redis, Sentinel};

use super::*;
use crate::{
    NodeId,
    directory::{
        Conflict, Notice,
        conformance::{self, Node, bind, seen, session, settled, storm, until},
        history::History,
        replica::tests::contents,
        state::tests::member,
    },
};

/// Sees these processes gone.
#[derive(Default)]
struct Sees(Mutex<BTreeSet<NodeId>>);

impl Witness for Sees {
    fn gone(&self) -> BTreeSet<NodeId> {
        self.0.lock().clone()
    }
}

fn start(place: Place, roots: Option<Vec<u8>>, node: u64) -> Arc<RedisDirectory> {
    start_with(place, roots, node, Arc::default())
}

fn start_with(
    place: Place,
    roots: Option<Vec<u8>>,
    node: u64,
    witness: Arc<Sees>,
) -> Arc<RedisDirectory> {
    Arc::new(RedisDirectory::start(Setup {
        member: (*member(node)).clone(),
        witness,
        place,
        roots,
        name: "test".into(),
    }))
}

fn start_all(place: &Place, count: u64) -> Vec<Arc<RedisDirectory>> {
    (1..=count).map(|n| start(place.clone(), None, n)).collect()
}

fn as_nodes(directories: &[Arc<RedisDirectory>]) -> Vec<Node> {
    let node = |d: &Arc<RedisDirectory>| (d.inner.core.me().0, d.clone() as Arc<dyn Directory>);
    directories.iter().map(node).collect()
}

async fn equal(directories: &[Arc<RedisDirectory>]) {
    until("all replicas are equal", || {
        let all: Vec<_> = directories
            .iter()
            .map(|d| contents(&d.inner.core.replica().freeze()))
            .collect();
        all.windows(2).all(|w| w[0] == w[1])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    let redis = Redis::start().expect("a server");
    let directories = start_all(&Place::Server(redis.url()), 3);
    conformance::all(&as_nodes(&directories)).await;
    conformance::downfall(&as_nodes(&directories)).await;
    equal(&directories[..2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_have_one_order_while_the_server_hangs() {
    let redis = Redis::start().expect("a server");
    let directories = start_all(&Place::Server(redis.url()), 3);
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    let history = Arc::new(History::default());
    let storms = nodes
        .iter()
        .map(|n| tokio::spawn(storm(n.clone(), history.clone(), n.0, 100)));
    let storms: Vec<_> = storms.collect();
    for rest in [200, 1_800] {
        sleep(Duration::from_millis(300)).await;
        redis.freeze().expect("it runs");
        sleep(Duration::from_millis(rest)).await;
        redis.thaw().expect("it stands");
    }
    for storm in storms {
        storm.await.expect("clients do not fail");
    }
    settled(&nodes).await;
    equal(&directories).await;
    assert!(history.count().0 > 60, "{:?}", history.count());
    let contradiction = history.contradiction(&[1, 2, 3], |a| directories[0].lookup(a));
    assert_eq!(contradiction, None);
    assert_eq!(directories[0].status().generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_is_declared_down_once() {
    let redis = Redis::start().expect("a server");
    let directories = start_all(&Place::Server(redis.url()), 3);
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    let mine = bind("a@x", "r", session(3, 1), Conflict::Refuse);
    assert!(nodes[2].1.submit(mine).await.is_ok());
    let epoch = nodes[0].1.view().epoch;
    directories[2].stop();
    settled(&nodes[..2]).await;
    assert_eq!(nodes[0].1.lookup("a@x"), None);
    assert_eq!(nodes[0].1.view().epoch, epoch + 1);
}

/// Binds a name for each node, and says it again when a new generation begins, as a server does.
async fn hold(nodes: &[Node]) -> Vec<tokio::task::JoinHandle<()>> {
    let mut holders = Vec::new();
    for (node, directory) in nodes {
        let mine = bind(
            "held@x",
            &format!("r{node}"),
            session(*node, 1),
            Conflict::Refuse,
        );
        assert!(directory.submit(mine).await.is_ok());
        let (node, directory, mut events) = (*node, directory.clone(), directory.events());
        holders.push(tokio::spawn(async move {
            let mut missing = false;
            while let Some(notice) = events.next().await {
                missing |= matches!(notice, Notice::Replaced);
                let view = directory.view();
                if !missing || view.seat(NodeId(node)).is_none() {
                    continue;
                }
                let entry = Entry {
                    session: session(node, 1),
                    resource: format!("r{node}").into(),
                    priority: None,
                    flags: 0,
                };
                let again = Command::Reassert {
                    node: NodeId(node),
                    epoch: view.epoch,
                    entries: vec![("held@x".into(), entry)],
                };
                while directory.submit(again.clone()).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
                missing = false;
            }
        }));
    }
    holders
}

async fn all_held(nodes: &[Node], generation: u64) {
    until("all is there again", || {
        nodes.iter().all(|(_, d)| {
            seen(&**d, "held@x").len() == nodes.len() && d.status().generation >= generation
        })
    })
    .await;
    assert!(nodes.iter().all(|n| !n.1.status().fallen));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_server_begins_a_new_generation_and_no_session_ends() {
    let mut redis = Redis::start().expect("a server");
    let directories = start_all(&Place::Server(redis.url()), 3);
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    let _holders = hold(&nodes).await;
    redis.ask("FLUSHALL").expect("it runs");
    all_held(&nodes, 2).await;
    redis.kill();
    until("all are fenced", || {
        nodes.iter().all(|n| n.1.status().fenced)
    })
    .await;
    let refused = bind("a@x", "r", session(1, 9), Conflict::Refuse);
    assert_eq!(
        nodes[0].1.submit(refused).await,
        Err(SubmitError::Unavailable)
    );
    assert_eq!(seen(&*nodes[0].1, "held@x").len(), 3);
    redis.restart().expect("it starts again");
    all_held(&nodes, 3).await;
    equal(&directories).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_were_lost_are_noticed() {
    let redis = Redis::start().expect("a server");
    let directories = start_all(&Place::Server(redis.url()), 2);
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    let _holders = hold(&nodes).await;
    // What a failover to a replica that is behind looks like, with another entry in the lost one's place.
    redis
        .ask("HSET {test}:tip mark 0000000000000000")
        .expect("it runs");
    all_held(&nodes, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_gets_a_snapshot() {
    let redis = Redis::start().expect("a server");
    let place = Place::Server(redis.url());
    let mut directories = start_all(&place, 1);
    settled(&as_nodes(&directories)).await;
    for number in 0..5_000 {
        let mine = bind(
            &format!("a{number}@x"),
            "r",
            session(1, number),
            Conflict::Refuse,
        );
        assert!(directories[0].submit(mine).await.is_ok());
    }
    until("the log is cut", || {
        redis
            .ask("XLEN {test}:log")
            .is_ok_and(|said| said.trim_start_matches(':').trim().parse::<u64>().unwrap() < 5_000)
    })
    .await;
    directories.push(start(place, None, 2));
    settled(&as_nodes(&directories)).await;
    equal(&directories).await;
    assert_eq!(directories[1].inner.core.replica().accounts(), 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_as_a_user_of_its_own() {
    // A second one is refused, and it is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = Certificate {
        certificate: &certificate,
        key: &key,
    };
    // What the directory needs, and no more.
    let rules = "resetkeys ~{test}:* -@all +evalsha +eval +script|load +hmget +hget +hset +hincrby +exists +xadd \
        +xtrim +xread +psetex +set +setex +get +del +ping +client";
    let redis = Redis::start_secure(&tls, rules).expect("a server");
    let place = Place::Server(redis.secure_url());
    let directory = start(place, Some(certificate.into_bytes()), 1);
    conformance::all(&as_nodes(&[directory])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_cluster_mode() {
    let servers = Redis::start_cluster(3).expect("a cluster");
    let seeds = servers.iter().map(Redis::url).collect();
    let directories = start_all(&Place::Cluster(seeds), 2);
    conformance::all(&as_nodes(&directories)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_sentinel_a_replica_goes_on() {
    let mut master = Redis::start().expect("a server");
    let replica = Redis::replica_of(master.port).expect("a replica");
    let sentinel = Sentinel::start(master.port).expect("a Sentinel");
    let place = Place::Sentinel {
        sentinels: vec![sentinel.url()],
        name: Sentinel::NAME.into(),
        server: "redis://any".into(),
    };
    let directories = start_all(&place, 3);
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    let _holders = hold(&nodes).await;
    master.kill();
    let port = format!("\n{}\r", replica.port);
    until("the replica is the master", || {
        let ask = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {}", Sentinel::NAME);
        sentinel.ask(&ask).is_ok_and(|said| said.contains(&port))
    })
    .await;
    all_held(&nodes, 1).await;
    let mut number = 9;
    loop {
        // What was on its way to the old master has no known fate.
        number += 1;
        let name = format!("more{number}@x");
        let more = bind(&name, "r", session(1, number), Conflict::Refuse);
        match nodes[0].1.submit(more).await {
            Ok(reply) => {
                assert!(matches!(reply, Reply::Bound(_)));
                break;
            }
            Err(SubmitError::Unavailable | SubmitError::Unknown) => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(number < 1_000, "it does not go on");
    }
    equal(&directories).await;
    let answer = replica.ask("XLEN {test}:log").expect("it runs");
    assert_ne!(answer.trim(), ":0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_taken_away_when_most_of_the_others_see_the_process_gone() {
    let server = Redis::start().unwrap();
    let place = Place::Server(server.url());
    let witnesses: [Arc<Sees>; 3] = Default::default();
    let all: Vec<_> = (1..)
        .zip(&witnesses)
        .map(|(node, sees)| start_with(place.clone(), None, node, sees.clone()))
        .collect();
    let members = |count: usize| {
        let views = all[..2].iter().map(|d| d.inner.core.replica().view());
        views.into_iter().all(|view| view.seats.len() == count)
    };
    until("all are members", || members(3)).await;
    let accused = BTreeSet::from([NodeId(3)]);
    *witnesses[0].0.lock() = accused.clone();
    // One alone is not believed: what it says is in Redis, and the lease stays.
    let mut calls = all[0].inner.way.connect().await.unwrap();
    let inner = &all[0].inner;
    let said = inner.key("gone:3:1");
    while !calls.exists::<_, bool>(&said).await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert!(members(3));
    *witnesses[1].0.lock() = accused;
    until("it is declared down though it lives", || members(2)).await;
}
