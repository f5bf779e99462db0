//! Against real memcached: what every cache must do, and what servers do that are emptied, restarted, stopped, or one of
//! several that are gone.

mod cluster;

use services::Memcached as Running;

use super::*;
use crate::{clock::ManualClock, conformance, error::ErrorKind};

pub(super) const LONG: Duration = Duration::from_secs(1000);

pub(super) fn clock() -> ManualClock {
    ManualClock::at(1_800_000_000)
}

/// A node's view of these servers. Its breakers open at the first failure, and close as the clock says.
pub(super) fn node(servers: &[&Running], clock: &ManualClock) -> Memcached {
    let fixed = servers
        .iter()
        .map(|server| (server.address().to_string(), 1));
    let servers = Servers::Fixed(fixed.collect());
    Memcached::new(servers, options(), Arc::new(clock.clone())).unwrap()
}

pub(super) fn options() -> MemcachedOptions {
    MemcachedOptions {
        // A busy machine is slow; who is stopped is slower.
        operation_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
        breaker: BreakerPolicy {
            failures: 1,
            ..BreakerPolicy::default()
        },
        ..MemcachedOptions::default()
    }
}

pub(super) async fn get(cache: &Memcached, key: &str) -> Result<Option<Cached>> {
    cache.get_many(&[key]).await.pop().unwrap()
}

pub(super) async fn value(cache: &Memcached, key: &str) -> Option<Vec<u8>> {
    let found = get(cache, key).await.unwrap();
    found.map(|cached| cached.value.to_vec())
}

pub(super) async fn set(cache: &Memcached, key: &str, value: &'static str) {
    cache.set(key, value.into(), LONG).await.unwrap();
}

#[track_caller]
pub(super) fn is_gone<T: std::fmt::Debug>(result: Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_conforms() {
    let server = Running::start().unwrap();
    conformance::cache(Arc::new(node(&[&server], &clock())), None, "run").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_conform() {
    let servers = [(); 3].map(|()| Running::start().unwrap());
    let cache = node(&servers.each_ref(), &clock());
    conformance::cache(Arc::new(cache), None, "run").await;
}

#[tokio::test]
async fn nodes_agree_on_a_generation_and_an_emptied_server_gets_another() {
    let server = Running::start().unwrap();
    let clock = clock();
    let (one, other) = (node(&[&server], &clock), node(&[&server], &clock));
    set(&one, "k", "old").await;
    assert_eq!(value(&other, "k").await, Some(b"old".to_vec()));
    let token = get(&one, "k").await.unwrap().unwrap().token;
    server.flush().unwrap();
    assert_eq!(value(&other, "k").await, None);
    set(&other, "k", "new").await;
    // The first does not know yet; it does before it is believed.
    let swapped = one.compare_and_set("k", token, "x".into(), LONG).await;
    assert_eq!(swapped.unwrap(), None);
    assert_eq!(value(&one, "k").await, Some(b"new".to_vec()));
}

#[tokio::test]
async fn tokens_of_before_a_restart_are_no_tokens() {
    let mut server = Running::start().unwrap();
    let clock = clock();
    let (one, other) = (node(&[&server], &clock), node(&[&server], &clock));
    set(&one, "k", "old").await;
    let before = get(&one, "k").await.unwrap().unwrap();
    server.kill();
    is_gone(get(&one, "k").await);
    is_gone(one.add("k", "x".into(), LONG).await);
    let server = Running::start_at(server.address().port()).unwrap();
    let token = other.add("k", "new".into(), LONG).await.unwrap().unwrap();
    let raw = |token, node: &Memcached| token ^ generation(node);
    assert_eq!(
        raw(token, &other),
        raw(before.token, &one),
        "the server counts from the beginning: the same number stands for something else"
    );
    clock.advance(Duration::from_secs(60));
    let swapped = one.compare_and_set("k", before.token, "x".into(), LONG);
    assert_eq!(swapped.await.unwrap(), None);
    assert_eq!(value(&one, "k").await, Some(b"new".to_vec()));
    drop(server);
}

fn generation(node: &Memcached) -> u64 {
    futures_now(node.ring.load().servers[0].agree())
}

/// What a future gives that has nothing to wait for.
fn futures_now<T>(future: impl Future<Output = Result<T>>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(done) => done.unwrap(),
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test]
async fn what_one_node_distrusts_no_node_reads() {
    let server = Running::start().unwrap();
    let clock = clock();
    let (one, other) = (node(&[&server], &clock), node(&[&server], &clock));
    set(&other, "k", "old").await;
    let token = get(&other, "k").await.unwrap().unwrap().token;
    one.distrust("k");
    assert!(!one.status()[0].is_trusted);
    // Until it is done the other knows nothing of it.
    assert_eq!(value(&other, "k").await, Some(b"old".to_vec()));
    one.maintain().await;
    assert!(one.status()[0].is_trusted);
    let swapped = other.compare_and_set("k", token, "x".into(), LONG).await;
    assert_eq!(swapped.unwrap(), None);
    assert_eq!(value(&other, "k").await, None);
    set(&one, "k", "new").await;
    assert_eq!(value(&other, "k").await, Some(b"new".to_vec()));
    // Who distrusts and asks at once gives it a new one on the way.
    other.distrust("k");
    assert_eq!(value(&other, "k").await, None);
    assert_eq!(value(&one, "k").await, None);
}

#[tokio::test]
async fn a_stopped_server_is_left_alone_and_what_it_does_late_is_not_read() {
    let server = Running::start().unwrap();
    let clock = clock();
    let (one, other) = (node(&[&server], &clock), node(&[&server], &clock));
    set(&one, "k", "old").await;
    assert_eq!(value(&other, "k").await, Some(b"old".to_vec()));
    server.freeze().unwrap();
    is_gone(one.set("k", "late".into(), LONG).await);
    assert!(!one.status()[0].is_asked);
    is_gone(get(&one, "k").await);
    one.distrust("k");
    one.maintain().await;
    assert!(!one.status()[0].is_trusted, "not asked yet");
    server.thaw().unwrap();
    is_gone(get(&one, "k").await);
    clock.advance(Duration::from_millis(500));
    one.maintain().await;
    let status = one.status();
    assert!(status[0].is_asked && status[0].is_trusted);
    assert_eq!(value(&one, "k").await, None);
    assert_eq!(value(&other, "k").await, None);
}

#[tokio::test]
async fn of_several_servers_those_that_are_there_answer() {
    let mut servers = [(); 3].map(|()| Running::start().unwrap());
    let cache = node(&servers.each_ref(), &clock());
    let names: Vec<String> = (0..60).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    for key in &keys {
        set(&cache, key, "x").await;
    }
    servers[1].kill();
    let lost = servers[1].address().to_string();
    let mut seen = [0, 0];
    for (key, answer) in keys.iter().zip(cache.get_many(&keys).await) {
        if cache.server_of(key).unwrap().name == lost {
            is_gone(answer);
            seen[0] += 1;
        } else {
            assert!(answer.unwrap().is_some());
            seen[1] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
    let asked: Vec<_> = cache.status().iter().map(|one| one.is_asked).collect();
    assert_eq!(asked, [true, false, true]);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_harms_nothing() {
    let server = Running::start().unwrap();
    let too_large = |result: Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TooLarge);
    };
    let cache = node(&[&server], &clock());
    let value = Bytes::from(vec![b'x'; 1_000_000]);
    cache.set("k", value.clone(), LONG).await.unwrap();
    assert_eq!(get(&cache, "k").await.unwrap().unwrap().value, value);
    let larger = Bytes::from(vec![b'x'; 1_000_001]);
    too_large(cache.set("k", larger, LONG).await);
    // Of whom the server says so itself.
    let options = MemcachedOptions {
        max_value: 3 << 20,
        ..options()
    };
    let servers = Servers::Fixed(vec![(server.address().to_string(), 1)]);
    let cache = Memcached::new(servers, options, Arc::new(clock())).unwrap();
    let largest = Bytes::from(vec![b'x'; 2 << 20]);
    too_large(cache.set("k", largest, LONG).await);
    assert!(cache.status()[0].is_asked);
    set(&cache, "k", "small").await;
}

#[test]
fn mistakes_in_the_list_are_told() {
    let check = |list: &[(&str, u32)], namespace: &str| {
        let own = |(name, weight): &(&str, u32)| (name.to_string(), *weight);
        let servers = Servers::Fixed(list.iter().map(own).collect());
        let options = MemcachedOptions {
            namespace: namespace.to_owned(),
            ..MemcachedOptions::default()
        };
        let refused = Memcached::new(servers, options, Arc::new(clock())).err();
        assert_eq!(
            refused.expect("refused").kind(),
            ErrorKind::NotAllowed,
            "{list:?}"
        );
    };
    check(&[], "n");
    check(&[("a:1", 0)], "n");
    check(&[("a", 1)], "n");
    check(&[("a:0", 1)], "n");
    check(&[(":1", 1)], "n");
    check(&[("a:1", 1), ("a:1", 2)], "n");
    check(&[("a:1", 1)], "with space");
    check(&[("a:1", 1)], &"n".repeat(65));
}
