//! Sessions whose home dies: another node knows them, and their clients go on with them.
//!
//! `STARLING_DELIVERIES`: how many messages the cost of that is measured with (2,000).

use std::time::Instant;

use starling::home::Doubt;
use starling::routing::peers::Kind;
use starling::routing::{Origin, Progress, Waiter};
use storage::repository::LogRange;
use tests::cluster::Cluster;
use tests::faults::client::{Client, attr, counts, message, name};
use tests::faults::dice::count;
use tests::faults::node::{account, create_accounts};
use tests::faults::settings::Settings;
use xmpp::Stanza;

const PEOPLE: [&str; 2] = ["alice", "bob"];

async fn cluster(nodes: usize, settings: Settings) -> Cluster {
    let cluster = Cluster::start(nodes, settings).await.unwrap();
    cluster.agreed().await;
    let names = PEOPLE.iter().map(|name| (*name).to_owned());
    create_accounts(&cluster.stores(), names).await.unwrap();
    cluster
}

fn home_of(cluster: &Cluster, user: &str) -> usize {
    cluster.home_of(account(user).as_str()).unwrap()
}

/// A node that is not the home of a user, if there are several.
fn elsewhere(cluster: &Cluster, user: &str) -> usize {
    let home = home_of(cluster, user);
    (0..cluster.len()).find(|at| *at != home).unwrap_or(home)
}

/// Bob, available and managed; how to resume him, and how many stanzas he has got.
async fn managed(cluster: &Cluster, at: usize) -> (Client, String, u32) {
    let mut bob = Client::login(cluster.address(at), "bob", "desk")
        .await
        .unwrap();
    let id = bob.enable().await.unwrap();
    bob.send("<presence/>").await.unwrap();
    bob.until(|text| name(text) == "presence").await.unwrap();
    (bob, id, 1)
}

/// Sends Bob messages of these ids, and waits until they are acknowledged.
async fn write(cluster: &Cluster, ids: &[&str]) {
    let at = elsewhere(cluster, "alice");
    let mut alice = Client::managed(cluster.address(at), "alice", "phone")
        .await
        .unwrap();
    for id in ids {
        let to = account("bob");
        alice
            .send(&message(to.as_str(), id, "hello"))
            .await
            .unwrap();
    }
    while alice.handled().await.unwrap() < ids.len() as u32 {}
    alice.close().await.unwrap();
}

/// The next messages are these; how many stanzas came until then.
async fn expect(bob: &mut Client, ids: &[&str]) -> u32 {
    let (mut left, mut came) = (ids.iter(), 0);
    while left.len() > 0 {
        let text = bob.next().await.unwrap();
        came += u32::from(counts(&text));
        if name(&text) == "message" {
            assert_eq!(attr(&text, "id"), left.next().copied(), "{text}");
        }
    }
    came
}

async fn resume(cluster: &Cluster, id: &str, h: u32) -> (Client, String) {
    let at = elsewhere(cluster, "bob");
    let mut bob = Client::authenticated(cluster.address(at), "bob")
        .await
        .unwrap();
    let answer = bob.resume(id, h).await.unwrap();
    (bob, answer)
}

/// A node dies, and bob comes back; what he is answered.
async fn after_death(
    cluster: &mut Cluster,
    victim: usize,
    bob: Client,
    session: (&str, u32),
) -> String {
    cluster.kill(victim).unwrap();
    cluster.agreed().await;
    drop(bob);
    let (id, got) = session;
    resume(cluster, id, got).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_its_homes() {
    let mut cluster = cluster(4, Settings::default()).await;
    // At first with the socket at the home itself: both die.
    let (mut bob, id, mut got) = managed(&cluster, home_of(&cluster, "bob")).await;
    let mut sent = 1;
    for round in 0..3 {
        let ids: Vec<String> = (0..4).map(|n| format!("m{round}-{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        write(&cluster, &ids[..3]).await;
        got += expect(&mut bob, &ids[..3]).await;
        // What it says counts exactly: its stanzas are handled when it is told so.
        bob.send("<presence><show>chat</show></presence>")
            .await
            .unwrap();
        sent += 1;
        let mut seen = Vec::new();
        while bob.acknowledged(&mut seen).await.unwrap() < sent {}
        got += seen.iter().filter(|text| counts(text)).count() as u32;
        bob.acknowledge(got - 2).await.unwrap();
        cluster.kill(home_of(&cluster, "bob")).unwrap();
        cluster.agreed().await;
        drop(bob);
        write(&cluster, &ids[3..]).await;
        // It lost the last two on the way: a message and its own presence.
        let (resumed, answer) = resume(&cluster, &id, got - 2).await;
        bob = resumed;
        assert_eq!(name(&answer), "resumed", "{answer}");
        assert_eq!(attr(&answer, "h"), Some(&*sent.to_string()));
        // It is still available: what came meanwhile reaches it.
        got = got - 2 + expect(&mut bob, &ids[2..]).await;
        bob.acknowledge(got).await.unwrap();
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_knows_a_session_where_that_is_turned_off() {
    let settings = Settings {
        replicas: false,
        ..Settings::default()
    };
    let mut cluster = cluster(2, settings).await;
    let (bob, id, got) = managed(&cluster, 0).await;
    let home = home_of(&cluster, "bob");
    let answer = after_death(&mut cluster, home, bob, (&id, got)).await;
    assert!(answer.contains("item-not-found"), "{answer}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_says_nothing_is_not_waited_for() {
    let mut cluster = cluster(2, Settings::default()).await;
    cluster.lose(Some(Kind::Replicated));
    let home = home_of(&cluster, "bob");
    let (mut bob, id, mut got) = managed(&cluster, elsewhere(&cluster, "bob")).await;
    write(&cluster, &["one"]).await;
    got += expect(&mut bob, &["one"]).await;
    let text = cluster.app(home).router.metrics.render();
    let late = "xmpp_c2s_unreplicated_total{cause=\"late\"}";
    assert!(text.contains(late), "{text}");
    // It is heard again, and has heard all: nothing has to be told anew.
    cluster.lose(None);
    write(&cluster, &["two"]).await;
    got += expect(&mut bob, &["two"]).await;
    let answer = after_death(&mut cluster, home, bob, (&id, got)).await;
    assert_eq!(name(&answer), "resumed", "{answer}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_is_forgotten() {
    let cluster = cluster(2, Settings::default()).await;
    let known = || -> usize {
        let apps = (0..cluster.len()).map(|at| cluster.app(at));
        apps.map(|app| app.router.replicas.held().0).sum()
    };
    let (bob, ..) = managed(&cluster, 0).await;
    assert_eq!(known(), 1);
    bob.close().await.unwrap();
    while known() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    cluster.stop().await;
}

/// A home asks the next node once more for what that has, and dies: what it had told is for its successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_home_told_is_not_given_to_itself() {
    let mut cluster = cluster(3, Settings::default()).await;
    let (bob, id, got) = managed(&cluster, elsewhere(&cluster, "bob")).await;
    let home = home_of(&cluster, "bob");
    let peers = &cluster.app(home).router.peers;
    let next = peers.second(account("bob").as_str()).unwrap();
    let asked = peers.ask_to_yield(next, &account("bob")).unwrap();
    // There is nothing for it to wait for.
    assert!(asked.await.is_ok());
    let _asked = peers.ask_to_yield(next, &account("bob"));
    let answer = after_death(&mut cluster, home, bob, (&id, got)).await;
    assert_eq!(name(&answer), "resumed", "{answer}");
    cluster.stop().await;
}

/// A session that goes to a node which dies before it has come there is found where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_its_way_to_a_node_that_dies_is_not_lost_with_it() {
    let mut cluster = cluster(3, Settings::default()).await;
    // The node that is to be his home comes to serve accounts when his session is at another.
    let coming = home_of(&cluster, "bob");
    cluster.leave(coming);
    cluster.agreed().await;
    let (mut bob, id, got) = managed(&cluster, home_of(&cluster, "bob")).await;
    cluster.lose(Some(Kind::Yielded));
    cluster.come_back(coming);
    assert_eq!(home_of(&cluster, "bob"), coming);
    cluster.agreed().await;
    // He is told nothing, and nobody knows him there.
    cluster.kill(coming).unwrap();
    cluster.lose(None);
    cluster.agreed().await;
    // He is where he was, and his connection was there all the time.
    let answer = bob.ask("<iq type='get' id='here'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(attr(&answer.await.unwrap(), "id"), Some("here"));
    drop(bob);
    let (_, answer) = resume(&cluster, &id, got).await;
    assert_eq!(name(&answer), "resumed", "{answer}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_sent_before_is_kept_once() {
    let cluster = cluster(1, Settings::default()).await;
    let router = &cluster.app(0).router;
    let text = "<message xmlns='jabber:client' type='chat' id='once' from='alice@localhost/phone' \
                to='bob@localhost'><body>hello</body></message>";
    let stanza = Stanza::parse(text.into()).unwrap();
    let since_ms = router.now_ms();
    for _ in 0..2 {
        // Both at once, and again when it is in both logs.
        let outcomes = [(); 2].map(|()| {
            let (waiter, done) = Waiter::new();
            let doubt = Doubt {
                since_ms,
                looked: false,
            };
            let origin = Some(Origin::Task(waiter));
            let progress = router.route_doubted(stanza.clone(), origin, Some(doubt));
            assert_eq!(progress, Progress::Pending);
            done
        });
        for outcome in outcomes {
            outcome.await.unwrap();
        }
    }
    for user in PEOPLE {
        let logs = &cluster.stores().logs;
        let owner = account(user);
        let entries = logs.read(&owner, LogRange::ALL, false, 10);
        assert_eq!(entries.await.unwrap().len(), 1, "{user}");
    }
    cluster.stop().await;
}

/// How long a message takes to and fro, in microseconds, and how many arrive in a second.
async fn measure(replicas: bool) -> (u128, u128) {
    let settings = Settings {
        replicas,
        ..Settings::default()
    };
    let cluster = cluster(2, settings).await;
    let (mut bob, _, mut got) = managed(&cluster, 0).await;
    let mut alice = Client::managed(cluster.address(1), "alice", "phone")
        .await
        .unwrap();
    let (to, deliveries) = (account("bob"), count("STARLING_DELIVERIES", 2_000));
    let is_message = |text: &str| name(text) == "message";
    let begun = Instant::now();
    for number in 0..deliveries / 10 {
        let id = format!("slow{number}");
        alice
            .send(&message(to.as_str(), &id, "hello"))
            .await
            .unwrap();
        bob.until(is_message).await.unwrap();
        got += 1;
        bob.acknowledge(got).await.unwrap();
    }
    let latency = begun.elapsed().as_micros() / (deliveries / 10) as u128;
    let begun = Instant::now();
    let writes = async {
        for number in 0..deliveries {
            let id = format!("fast{number}");
            alice
                .send(&message(to.as_str(), &id, "hello"))
                .await
                .unwrap();
            if number % 50 == 49 {
                alice.handled().await.unwrap();
            }
        }
    };
    let reads = async {
        for number in 0..deliveries {
            let text = bob.until(is_message).await.unwrap();
            assert_eq!(attr(&text, "id"), Some(&*format!("fast{number}")));
            got += 1;
            if number % 20 == 19 {
                bob.acknowledge(got).await.unwrap();
            }
        }
    };
    tokio::join!(writes, reads);
    let per_second = deliveries as u128 * 1_000_000 / begun.elapsed().as_micros();
    cluster.stop().await;
    (latency, per_second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_costs() {
    for replicas in [false, true, false, true] {
        let (latency, per_second) = measure(replicas).await;
        println!(
            "replicas {replicas}: {latency} µs for a delivery alone, {per_second} deliveries per second"
        );
    }
}
