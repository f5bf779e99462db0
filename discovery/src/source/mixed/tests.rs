//! Several sources of which one fails: a DNS server that runs, and a list.

use std::{net::SocketAddr, sync::Arc};

use services::Dns as Server;

use super::*;
use crate::{Dns, Fixed, Resolver, source::Query};

fn ports(answer: &Answer) -> Vec<u16> {
    let mut ports: Vec<_> = answer.candidates.iter().map(|c| c.address.port()).collect();
    ports.sort_unstable();
    ports
}

fn two(server: &Server) -> Mixed {
    let resolver = Resolver::of_servers(&[server.address()]).unwrap();
    let query = Query::Name("nodes.test".into(), 5);
    let dns = Dns::new(query, resolver.clone());
    let hosts = vec!["10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap()];
    Mixed::new(vec![Arc::new(Fixed::new(hosts, resolver)), Arc::new(dns)])
}

#[tokio::test]
async fn the_failure_of_one_hides_neither_the_other_nor_what_it_said() {
    let server = Server::start().await.unwrap();
    let mixed = two(&server);
    server.fail("test");
    let answer = mixed.candidates().await.unwrap();
    assert_eq!(ports(&answer), [1, 2]);
    assert_eq!(answer.troubles[0].asked(), "dns");
    assert_eq!(answer.troubles[0].kind(), ErrorKind::Unavailable);

    server.mend();
    server.set_addresses("nodes.test", 1, &[[10, 0, 0, 5].into()]);
    // It failed just now: it is asked again after a while.
    let answer = loop {
        let answer = mixed.candidates().await.unwrap();
        if answer.troubles.is_empty() {
            break answer;
        }
        assert_eq!(ports(&answer), [1, 2]);
        tokio::task::yield_now().await;
    };
    assert_eq!(ports(&answer), [1, 2, 5]);

    server.fail("test");
    let answer = mixed.candidates().await.unwrap();
    assert_eq!((ports(&answer), answer.troubles.len()), (vec![1, 2, 5], 1));
}

/// A source that fails, and counts how often it is asked.
struct Broken(std::sync::atomic::AtomicU32);

#[async_trait]
impl Discovery for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }
    async fn candidates(&self) -> Result<Answer> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Err(Error::new(
            ErrorKind::Throttled,
            "broken",
            "as was asked for",
        ))
    }
}

#[tokio::test(start_paused = true)]
async fn who_fails_is_asked_less_often_than_the_others() {
    let broken = Arc::new(Broken(0.into()));
    let mixed = Mixed::new(vec![broken.clone()]);
    for _ in 0..3600 {
        let error = mixed.candidates().await.unwrap_err();
        assert_eq!(
            (error.asked(), error.kind()),
            ("broken", ErrorKind::Throttled)
        );
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    // An hour at 30 to 60 seconds each, and a few questions before.
    let asked = broken.0.load(std::sync::atomic::Ordering::SeqCst);
    assert!((60..=130).contains(&asked), "{asked}");
}

#[tokio::test]
async fn of_one_address_the_first_source_speaks() {
    let server = Server::start().await.unwrap();
    let address: SocketAddr = "10.0.0.1:1".parse().unwrap();
    server.set_services("_x._tcp.test", 60, &[(7, 8, 1, "a.test")]);
    server.set_addresses("a.test", 60, &[address.ip()]);
    let resolver = Resolver::of_servers(&[server.address()]).unwrap();
    let dns = Dns::new(Query::Service("_x._tcp.test".into()), resolver.clone());
    let hosts = vec!["10.0.0.1:1".parse().unwrap()];
    let mixed = Mixed::new(vec![Arc::new(dns), Arc::new(Fixed::new(hosts, resolver))]);
    let all = crate::candidate::by_address(mixed.candidates().await.unwrap().candidates);
    let found: Vec<_> = all
        .values()
        .map(|c| (c.priority, c.weight, c.name.clone()))
        .collect();
    assert_eq!(found, [(7, 8, Some("a.test".into()))]);
}

/// A source whose answer takes a time, and counts how often it is asked.
struct Slow(Duration, std::sync::atomic::AtomicU32);

#[async_trait]
impl Discovery for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }
    async fn candidates(&self) -> Result<Answer> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        tokio::time::sleep(self.0).await;
        Ok(Answer::of(vec![crate::Candidate::at(
            ([10, 0, 0, 3], 3).into(),
        )]))
    }
}

/// Nobody waits for it longer than a round, and what it says is not lost.
#[tokio::test(start_paused = true)]
async fn a_slow_source_answers_a_later_round() {
    let slow = Arc::new(Slow(Duration::from_secs(5), 0.into()));
    let resolver = Resolver::of_servers(&[([127, 0, 0, 1], 9).into()]).unwrap();
    let list = Fixed::new(vec!["10.0.0.1:1".parse().unwrap()], resolver);
    let mixed = Mixed::new(vec![slow.clone(), Arc::new(list)]);
    let begun = Instant::now();
    for (seconds, expected, troubles) in [
        (2, vec![1], 1),
        (4, vec![1], 1),
        (5, vec![1, 3], 0),
        (7, vec![1, 3], 1),
    ] {
        let answer = mixed.candidates().await.unwrap();
        assert_eq!(
            (ports(&answer), answer.troubles.len()),
            (expected, troubles)
        );
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    assert_eq!(slow.1.load(std::sync::atomic::Ordering::SeqCst), 2);

    // One that never answers is asked again when the patience with it has ended.
    let never = Arc::new(Slow(Duration::from_secs(1_000_000), 0.into()));
    let mixed = Mixed::new(vec![never.clone()]);
    for _ in 0..100 {
        let error = mixed.candidates().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let asked = never.1.load(std::sync::atomic::Ordering::SeqCst);
    assert!((2..=10).contains(&asked), "{asked}");
}
