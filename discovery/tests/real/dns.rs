//! DNS and names of a list, over a server whose table changes.

use std::{net::IpAddr, sync::Arc, time::Duration};

use discovery::{
    Answer, Discovery as _, Dns, ErrorKind, Event, Fixed, Resolver, Watcher,
    source::Query,
    watcher::{Options, Pace},
};
use services::Dns as Server;

const SERVICE: &str = "_starling._tcp.example.test";

async fn server() -> (Server, Resolver) {
    let server = Server::start().await.unwrap();
    let resolver = Resolver::of_servers(&[server.address()]).unwrap();
    (server, resolver)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `address name priority weight` of all, in order.
fn text(answer: &Answer) -> Vec<String> {
    let candidates = answer.candidates.iter();
    let mut all: Vec<_> = candidates
        .map(|c| {
            let name = c.name.as_deref().unwrap_or_default();
            format!("{} {name} {} {}", c.address, c.priority, c.weight)
        })
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn priorities_and_weights_are_kept_and_targets_resolved() {
    let (server, resolver) = server().await;
    let services = [
        (10, 60, 5270, "a.example.test"),
        (10, 40, 5271, "b.example.test"),
        (20, 0, 5270, "none.example.test"),
    ];
    server.set_services(SERVICE, 300, &services);
    server.set_addresses("a.example.test", 40, &[ip("10.0.0.1"), ip("2001:db8::1")]);
    server.set_addresses("b.example.test", 200, &[ip("10.0.0.2")]);
    let dns = Dns::new(Query::Service(SERVICE.into()), resolver);
    let answer = dns.candidates().await.unwrap();
    let expected = [
        "10.0.0.1:5270 a.example.test 10 60",
        "10.0.0.2:5271 b.example.test 10 40",
        "[2001:db8::1]:5270 a.example.test 10 60",
    ];
    assert_eq!(text(&answer), expected);
    let troubles: Vec<_> = answer.troubles.iter().map(|error| error.kind()).collect();
    assert_eq!(troubles, [ErrorKind::Absent]);
    assert_eq!(answer.fresh_for, Some(Duration::from_secs(40)));
}

#[tokio::test]
async fn a_ttl_has_a_floor() {
    let (server, resolver) = server().await;
    for (ttl, expected) in [(0, 5), (4, 5), (6, 6)] {
        server.set_addresses("nodes.test", ttl, &[ip("10.0.0.1")]);
        let query = Query::Name("nodes.test".into(), 1);
        let answer = Dns::new(query, resolver.clone())
            .candidates()
            .await
            .unwrap();
        assert_eq!(
            answer.fresh_for,
            Some(Duration::from_secs(expected)),
            "{ttl}"
        );
    }
}

#[tokio::test]
async fn absent_is_an_answer_and_an_outage_is_none() {
    let (server, resolver) = server().await;
    for query in [
        Query::Service(SERVICE.into()),
        Query::Name("example.test".into(), 1),
    ] {
        let dns = Dns::new(query, resolver.clone());
        let answer = dns.candidates().await.unwrap();
        assert!(answer.candidates.is_empty());
        assert_eq!(answer.troubles[0].kind(), ErrorKind::Absent);
    }
    server.fail("test");
    let dns = Dns::new(Query::Service(SERVICE.into()), resolver);
    let error = dns.candidates().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // That there were none stays known while nobody can say more.
    server.mend();
    assert!(dns.candidates().await.unwrap().candidates.is_empty());
    server.fail("test");
    let answer = dns.candidates().await.unwrap();
    assert_eq!(answer.troubles[0].kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn there_is_no_such_service() {
    let (server, resolver) = server().await;
    server.set_services(SERVICE, 300, &[(0, 0, 0, ".")]);
    let dns = Dns::new(Query::Service(SERVICE.into()), resolver);
    let answer = dns.candidates().await.unwrap();
    assert!(answer.candidates.is_empty() && answer.troubles.is_empty());
}

#[tokio::test]
async fn what_is_not_answered_stays_as_it_was() {
    let (server, resolver) = server().await;
    server.set_services(
        SERVICE,
        60,
        &[(0, 0, 1, "a.one.test"), (0, 0, 2, "b.two.test")],
    );
    server.set_addresses("a.one.test", 60, &[ip("10.0.0.1")]);
    server.set_addresses("b.two.test", 60, &[ip("10.0.0.2")]);
    let dns = Dns::new(Query::Service(SERVICE.into()), resolver);
    let all = ["10.0.0.1:1 a.one.test 0 0", "10.0.0.2:2 b.two.test 0 0"];
    assert_eq!(text(&dns.candidates().await.unwrap()), all);

    // One target is not answered, and the other has moved.
    server.fail("two.test");
    server.set_addresses("a.one.test", 60, &[ip("10.0.0.9")]);
    let answer = dns.candidates().await.unwrap();
    assert_eq!(
        text(&answer),
        ["10.0.0.2:2 b.two.test 0 0", "10.0.0.9:1 a.one.test 0 0"]
    );
    assert_eq!(answer.troubles[0].kind(), ErrorKind::Unavailable);

    // The list is not answered, and a target has moved back.
    server.mend();
    server.fail("example.test");
    server.set_addresses("a.one.test", 60, &[ip("10.0.0.1")]);
    let answer = dns.candidates().await.unwrap();
    assert_eq!(text(&answer), all);
    assert_eq!(answer.troubles.len(), 1);

    // The list is shorter; of what is not in it nothing stays.
    server.mend();
    server.set_services(SERVICE, 60, &[(0, 0, 2, "b.two.test")]);
    assert_eq!(text(&dns.candidates().await.unwrap()), all[1..]);
}

#[tokio::test]
async fn names_of_a_list_are_resolved_in_each_round() {
    let (server, resolver) = server().await;
    let hosts = ["a.test:1", "10.0.0.7:7", "b.test:2"].map(|host| host.parse().unwrap());
    let list = Fixed::new(hosts.into(), resolver);
    server.set_addresses("a.test", 60, &[ip("10.0.0.1")]);
    let answer = list.candidates().await.unwrap();
    assert_eq!(text(&answer), ["10.0.0.1:1 a.test 0 0", "10.0.0.7:7  0 0"]);
    assert_eq!(answer.troubles[0].kind(), ErrorKind::Absent);

    server.set_addresses("a.test", 60, &[ip("10.0.0.3"), ip("::1")]);
    server.set_addresses("b.test", 60, &[ip("10.0.0.2")]);
    let answer = list.candidates().await.unwrap();
    let all = [
        "10.0.0.2:2 b.test 0 0",
        "10.0.0.3:1 a.test 0 0",
        "10.0.0.7:7  0 0",
        "[::1]:1 a.test 0 0",
    ];
    assert_eq!(text(&answer), all);
    assert!(answer.troubles.is_empty());

    server.fail("a.test");
    server.remove("b.test");
    let answer = list.candidates().await.unwrap();
    assert_eq!(text(&answer), all[1..]);
}

/// Servers that do not answer cost a bounded time, once for all names; addresses are given all the same.
#[tokio::test]
async fn silence_hides_no_addresses() {
    let (server, resolver) = server().await;
    server.silence("test");
    let mut hosts: Vec<_> = (0..20)
        .map(|n| format!("n{n}.test:1").parse().unwrap())
        .collect();
    hosts.push("10.0.0.7:7".parse().unwrap());
    let list = Fixed::new(hosts, resolver);
    let patience = Options::default().patience;
    let answer = tokio::time::timeout(patience, list.candidates())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(text(&answer), ["10.0.0.7:7  0 0"]);
    assert_eq!(answer.troubles.len(), 40);
    let mut kinds = answer.troubles.iter().map(|error| error.kind());
    assert!(kinds.all(|kind| kind == ErrorKind::Unavailable));
}

/// From the server's table to events, with a rate that the test allows.
#[tokio::test]
async fn changes_are_told() {
    let (server, resolver) = server().await;
    server.set_addresses("nodes.test", 0, &[ip("10.0.0.1"), ip("10.0.0.2")]);
    let dns = Dns::new(Query::Name("nodes.test".into(), 5), resolver).with_floor(Duration::ZERO);
    let options = Options {
        pace: Pace {
            seeking: Duration::from_millis(10),
            least: Duration::from_millis(5),
            ..Pace::default()
        },
        ..Options::default()
    };
    let (watcher, mut events) = Watcher::start(Arc::new(dns), options, Arc::new(()));
    let mut next = async || match events.recv().await.unwrap() {
        Event::Found(candidate) => format!("+{}", candidate.address.ip()),
        Event::Gone(candidate) => format!("-{}", candidate.address.ip()),
        Event::Trouble(error) => error.kind().label().to_owned(),
    };
    assert_eq!(next().await, "+10.0.0.1");
    assert_eq!(next().await, "+10.0.0.2");
    server.set_addresses("nodes.test", 0, &[ip("10.0.0.2")]);
    assert_eq!(next().await, "-10.0.0.1");
    server.fail("test");
    assert_eq!(next().await, "unavailable");
    assert_eq!(next().await, "unavailable");
    assert_eq!(watcher.current().borrow().len(), 1);
    server.set_addresses("nodes.test", 0, &[ip("10.0.0.2"), ip("10.0.0.3")]);
    server.mend();
    let mut told = next().await;
    while told == "unavailable" {
        told = next().await;
    }
    assert_eq!(told, "+10.0.0.3");
}
