//! A removal takes with it what is still being written for the account: the next owner of the name finds nothing of it.

use std::collections::VecDeque;
use std::time::Duration;

use storage::key;
use storage::layer::faulty::{Fault, When};
use storage::shape::Space;
use tests::faults::client::{Client, attr, message};
use tests::faults::node::{Local, account};
use tests::faults::settings::Settings;

const SLOW: Duration = Duration::from_millis(300);
const REMOVE: &str =
    "<iq type='set' id='remove'><query xmlns='jabber:iq:register'><remove/></query></iq>";

/// Bob writes to alice, whose log goes wrong at the first append, while she removes her account.
async fn what_is_being_written_goes_too(fault: Fault) {
    let node = Local::start(&Settings::default(), 1).await.unwrap();
    node.accounts(["alice", "bob"]).await.unwrap();
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    let log = key::log(&account("alice"));
    node.switchboard.add(
        move |target| {
            target.call.is_write() && target.space == Some(Space::Log) && target.name == &log[..]
        },
        When::Sequence(VecDeque::from([true])),
        fault,
    );
    bob.send(&message("alice@localhost", "m", "to the first"))
        .await
        .unwrap();
    while node.switchboard.hits() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answer = alice.ask(REMOVE).await.unwrap();
    assert_eq!(attr(&answer, "type"), Some("result"), "{answer}");
    let mut next = Client::connect(node.address()).await.unwrap();
    next.open().await.unwrap();
    let made = next
        .ask(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>alice</username>\
             <password>other</password></query></iq>",
        )
        .await
        .unwrap();
    assert_eq!(attr(&made, "type"), Some("result"), "{made}");
    // Whatever was slow, or was to be repeated, would have been there by now.
    tokio::time::sleep(SLOW * 2).await;
    let stores = node.stop().await;
    assert_eq!(stores.logs.head(&account("alice")).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_under_way_is_waited_for() {
    what_is_being_written_goes_too(Fault::Delay(SLOW)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_answer_was_lost_is_not_repeated() {
    what_is_being_written_goes_too(Fault::LoseAnswer).await;
}
