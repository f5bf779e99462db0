//! S3 is gone: messages, logins and rosters do not notice; what is in it answers "later", and is there again afterwards.
//!
//! `STARLING_GONE_SECONDS`: how long it is gone (6; acceptance 60).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use services::Fault;
use tests::faults::actor::actor_name;
use tests::faults::client::{Client, attr};
use tests::faults::dice::{count, seed};
use tests::faults::settings::Settings;

use crate::cloud::{Cloud, assert_told_only};
use crate::owner::Owner;
use crate::play::Play;

const ACTORS: usize = 6;
const GET: &str = "<vCard xmlns='vcard-temp'/>";

/// A vCard that is no record.
fn large(mark: &str) -> String {
    let text = "x".repeat(60_000);
    format!("<vCard xmlns='vcard-temp'><DESC>{mark}-{text}</DESC></vCard>")
}

async fn ask(client: &mut Client, id: usize, kind: &str, payload: &str) -> String {
    let request = format!("<iq type='{kind}' id='i{id}'>{payload}</iq>");
    client.ask(&request).await.unwrap()
}

fn assert_done(answer: &str) {
    assert_eq!(attr(answer, "type"), Some("result"), "{answer:.400}");
}

/// Asks for large vCards while there is no S3: how often that was refused.
async fn photograph(server: SocketAddr, until: Instant) -> usize {
    let mut client = Client::login(server, "photographer", "camera")
        .await
        .unwrap();
    let mut refused = 0;
    let mut id = 0;
    while Instant::now() < until {
        id += 2;
        let answer = ask(&mut client, id, "set", &large("lost")).await;
        assert!(answer.contains("type='wait'"), "set: {answer:.400}");
        refused += 1;
        let answer = ask(&mut client, id + 1, "get", GET).await;
        // A cache may have it still.
        let is_known = answer.contains("before-x");
        assert!(
            is_known || answer.contains("type='wait'"),
            "get: {answer:.400}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_objects_all_but_what_is_in_them_goes_on() {
    let (seed, seconds) = (seed(), count("STARLING_GONE_SECONDS", 6) as u64);
    println!("seed {seed}, {seconds} s");
    let names = ["owner", "photographer"].into_iter().map(str::to_owned);
    let cloud = Cloud::start(names.chain((0..ACTORS).map(actor_name))).await;
    let node = cloud.node(&Settings::default()).await;
    let address = node.address();
    let mut client = Client::login(address, "photographer", "album")
        .await
        .unwrap();
    assert_done(&ask(&mut client, 0, "set", &large("before")).await);

    let mut play = Play::start(ACTORS, address, seed);
    let mut owner = Owner::new("owner".to_owned(), seed).with_small_vcards();
    let faults = [
        Fault::s3(503, "ServiceUnavailable"),
        Fault::Reset,
        Fault::s3(500, "InternalError"),
    ];
    let (mut hits, mut refused) = (0, 0);
    for fault in faults {
        cloud.to_objects.clear();
        cloud.to_objects.add(u64::MAX, fault, |_| true);
        let until = Instant::now() + Duration::from_secs(seconds).div_f64(3.0);
        let photographing = tokio::spawn(photograph(address, until));
        while Instant::now() < until {
            owner.visit(address).await.unwrap();
        }
        refused += photographing.await.expect("nothing wrong is answered");
        hits += cloud.to_objects.hits();
    }
    // What there was is there: no write of the outage came through.
    cloud.to_objects.clear();
    let answer = ask(&mut client, 1, "get", GET).await;
    assert!(answer.contains("before-x"), "{answer:.400}");
    assert_done(&ask(&mut client, 2, "set", &large("after")).await);
    let answer = ask(&mut client, 3, "get", GET).await;
    assert!(answer.contains("after-x"), "{answer:.400}");

    play.settle().await;
    let story = play.stop().await;
    node.app.shutdown().await;
    let counts = play.verify(&cloud.stores().await).await;
    println!(
        "{hits} faults, {refused} vCards refused\n{counts:?}\n{story:?}\n{:?}",
        owner.deeds
    );
    assert_told_only(&story, &[]);
    assert_eq!(counts.refused, 0);
    assert!(hits > 0 && refused > 0 && counts.promised > 0);
    for what in ["logins", "roster changes", "private changes"] {
        assert!(owner.deeds[what] > 0, "no {what}: {:?}", owner.deeds);
    }
}
