//! What is blocked is blocked everywhere when the result of the request comes: whichever nodes the sender, the account and
//! their sockets are at, and while the account moves.

use std::time::Duration;

use tests::cluster::Cluster;
use tests::faults::client::{Client, attr, message, name};
use tests::faults::node::{account, create_accounts};
use tests::faults::settings::Settings;

/// Rounds of blocking and unblocking.
const ROUNDS: usize = 40;

/// Two accounts with homes at two nodes, each with a client at a node that is not its home.
async fn two(cluster: &Cluster) -> (String, Client, String, Client) {
    let (alice, bob) = (
        cluster.name_at(0, 'a').unwrap(),
        cluster.name_at(1, 'b').unwrap(),
    );
    create_accounts(&cluster.stores(), [alice.clone(), bob.clone()])
        .await
        .unwrap();
    let mut clients = Vec::new();
    for (name, at) in [(&alice, 1), (&bob, 2)] {
        let mut client = Client::managed(cluster.address(at), name, "a")
            .await
            .unwrap();
        client.send("<presence/>").await.unwrap();
        client.before_answer("there").await.unwrap();
        clients.push(client);
    }
    let (b, a) = (clients.pop().unwrap(), clients.pop().unwrap());
    (alice, a, bob, b)
}

async fn set(client: &mut Client, what: &str, id: &str, jid: &str) {
    let payload = format!("<{what} xmlns='urn:xmpp:blocking'><item jid='{jid}'/></{what}>");
    let request = format!("<iq type='set' id='{id}'>{payload}</iq>");
    loop {
        let answer = client.ask(&request).await.unwrap();
        match attr(&answer, "type") {
            Some("result") => return,
            // It moves just now.
            _ => assert!(answer.contains("type='wait'"), "{answer}"),
        }
    }
}

/// Blocks and unblocks, and has the other write after each: refused while it is blocked, delivered while it is not.
async fn rounds(a: &mut Client, alice: &str, b: &mut Client, bob: &str) {
    let (to, from) = (account(alice), account(bob));
    for round in 0..ROUNDS {
        let id = |what: &str| format!("{what}-{round}");
        set(a, "block", &id("block"), from.as_str()).await;
        b.send(&message(to.as_str(), &id("blocked"), "no"))
            .await
            .unwrap();
        let blocked = id("blocked");
        let refused = b
            .until(|text| name(text) == "message" && attr(text, "id") == Some(&blocked))
            .await
            .unwrap();
        assert_eq!(
            attr(&refused, "type"),
            Some("error"),
            "round {round}: {refused}"
        );
        set(a, "unblock", &id("unblock"), from.as_str()).await;
        b.send(&message(to.as_str(), &id("free"), "yes"))
            .await
            .unwrap();
        let got = a.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(
            attr(&got, "id"),
            Some(id("free").as_str()),
            "round {round}: {got}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_holds_at_all_nodes_when_its_result_comes() {
    let cluster = Cluster::start(3, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let (alice, mut a, bob, mut b) = two(&cluster).await;
    rounds(&mut a, &alice, &mut b, &bob).await;
    // What the other says to all, and to it alone.
    set(&mut a, "block", "last", account(&bob).as_str()).await;
    let to = format!("{}/a", account(&alice).as_str());
    b.send(&format!(
        "<presence to='{to}'/><iq type='get' id='ping' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>"
    ))
    .await
    .unwrap();
    let refused = b.answer("ping").await.unwrap();
    assert_eq!(attr(&refused, "type"), Some("error"), "{refused}");
    let heard = a.before_answer("end").await.unwrap();
    let of_bob = |text: &String| {
        attr(text, "from").is_some_and(|from| from.starts_with(account(&bob).as_str()))
    };
    assert!(!heard.iter().any(of_bob), "{heard:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_holds_while_the_account_moves() {
    let mut cluster = Cluster::start(3, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let (alice, mut a, bob, mut b) = two(&cluster).await;
    let playing = tokio::spawn(async move { rounds(&mut a, &alice, &mut b, &bob).await });
    // Its home is at the first node: it goes to another and comes back, again and again.
    while !playing.is_finished() {
        cluster.leave(0);
        cluster.agreed().await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        cluster.come_back(0);
        cluster.agreed().await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    playing.await.unwrap();
    cluster.stop().await;
}
