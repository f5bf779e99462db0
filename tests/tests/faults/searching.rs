//! A search among many: people are found by the beginning of a word and by what is within, a page at a time, and what that
//! costs does not grow with how many there are.
//!
//! `STARLING_CARDS`: vCards of the domain (2,000; acceptance 1,000,000).

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::backend::embedded::{Embedded, EmbeddedOptions};
use storage::backend::memory::MemoryBlobs;
use storage::layer::Switchboard;
use storage::layer::faulty::{Fault, Faulty, When};
use storage::repository::{Vcard, VcardField};
use storage::shape::Table;
use tests::faults::client::Client;
use tests::faults::dice::{count, seed};
use tests::faults::node::{Local, account};
use tests::faults::settings::Settings;

/// vCards that are written at the same time.
const AT_ONCE: usize = 64;
/// One in so many is of the rare family.
const RARE: usize = 97;
/// People on a page.
const PAGE: usize = 50;

fn vcard(number: usize) -> Vcard {
    let family = match number % RARE {
        0 => "Quisquilian".to_owned(),
        other => format!("Family{other}"),
    };
    let (given, nick) = (format!("Given{}", number % 1_013), format!("nick{number}"));
    let email = format!("{nick}@mail.example");
    let xml = format!(
        "<vCard xmlns='vcard-temp'><FN>{given} {family}</FN><N><FAMILY>{family}</FAMILY><GIVEN>{given}</GIVEN></N>\
         <NICKNAME>{nick}</NICKNAME><EMAIL><USERID>{email}</USERID></EMAIL></vCard>"
    );
    Vcard {
        xml: xml.into(),
        searchable: vec![
            (VcardField::FullName, format!("{given} {family}")),
            (VcardField::Given, given),
            (VcardField::Family, family),
            (VcardField::Nickname, nick),
            (VcardField::Email, email),
        ],
        ..Vcard::default()
    }
}

async fn fill(node: &Local, cards: usize) {
    let vcards = node.stores.unguarded().vcards;
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..cards {
        if writing.len() == AT_ONCE {
            writing.join_next().await.unwrap().unwrap();
        }
        let vcards = vcards.clone();
        writing.spawn(async move {
            let owner = account(&format!("p{number}"));
            vcards.put(&owner, &vcard(number), 0).await.unwrap();
        });
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap();
    }
}

/// A page: how many people are on it, and where the next one begins.
async fn page(client: &mut Client, var: &str, text: &str, after: &str) -> (usize, Option<String>) {
    let query = format!(
        "<iq type='set' id='s' to='vjud.localhost'><query xmlns='jabber:iq:search'>\
         <x xmlns='jabber:x:data' type='submit'><field var='{var}'><value>{text}</value></field></x>\
         <set xmlns='http://jabber.org/protocol/rsm'><max>{PAGE}</max><after>{after}</after></set></query></iq>"
    );
    let answer = client.ask(&query).await.unwrap();
    assert!(answer.contains("type='result'"), "{answer}");
    let last = answer.split_once("<last>").map(|(_, rest)| rest);
    let last = last.and_then(|rest| rest.split_once("</last>"));
    let last = last.map(|(last, _)| last.to_owned());
    (answer.matches("<item>").count(), last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_found_among_many() {
    let cards = count("STARLING_CARDS", 2_000);
    let directory = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        sync: false,
        ..EmbeddedOptions::default()
    };
    let embedded = Embedded::open(directory.path(), options).unwrap();
    let calls = Switchboard::new(seed());
    let table: Arc<dyn Table> = Arc::new(Faulty::new(Arc::new(embedded), calls.clone()));
    let node = Local::over(&Settings::default(), 1, table, Arc::new(MemoryBlobs::new()))
        .await
        .unwrap();
    node.accounts(["alice"]).await.unwrap();
    let start = Instant::now();
    fill(&node, cards).await;
    println!("{cards} vCards written in {:?}", start.elapsed());
    // Nothing goes wrong; it is counted.
    calls.add(|_| true, When::Always, Fault::Delay(Duration::ZERO));
    let mut alice = Client::login(node.address(), "alice", "a").await.unwrap();
    let rare = cards.div_ceil(RARE);
    for (what, var, text, wanted) in [
        (
            "one, by the beginning",
            "nick",
            format!("nick{}", cards - 1),
            Some(1),
        ),
        (
            "nobody, by the beginning",
            "nick",
            "zoe".to_owned(),
            Some(0),
        ),
        (
            "a rare family, by the beginning",
            "last",
            "quisq".to_owned(),
            Some(rare),
        ),
        (
            "a rare family, by what is within",
            "last",
            "squili".to_owned(),
            Some(rare),
        ),
        (
            "nobody, by what is within",
            "last",
            "zzz".to_owned(),
            Some(0),
        ),
        (
            "one of a rare family",
            "fn",
            format!("quisq given{}", RARE % 1_013),
            None,
        ),
    ] {
        let (mut found, mut pages, mut after) = (0, 0, String::new());
        let mut first = None;
        let (start, before) = (Instant::now(), calls.hits());
        loop {
            let (people, last) = page(&mut alice, var, &text, &after).await;
            first.get_or_insert((start.elapsed(), calls.hits() - before));
            (found, pages) = (found + people, pages + 1);
            match last {
                Some(last) if people > 0 => after = last,
                _ => break,
            }
        }
        let (time, requests) = first.unwrap();
        let all = start.elapsed();
        println!(
            "{what}: {found} on {pages} pages in {all:?}; the first {time:?}, {requests} requests"
        );
        assert!(
            wanted.is_none_or(|wanted| wanted == found),
            "{what}: {found}"
        );
        // A query each way, and a get for each on the page.
        let most = PAGE as u64 + 12;
        assert!(
            wanted.is_none() || requests <= most,
            "{what}: {requests} requests"
        );
    }
}
