//! The watcher over a source that says what the test wants, on paused time.

use std::collections::VecDeque;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;
use crate::{Answer, Result, backoff::Backoff};

type Said = Result<Vec<u16>, ErrorKind>;

/// Says what is next, the last of it for ever; notes when it was asked.
#[derive(Default)]
struct Script {
    said: Mutex<VecDeque<Said>>,
    asked: Mutex<Vec<Instant>>,
    seen: Mutex<Vec<String>>,
}

fn at(port: u16) -> Candidate {
    Candidate::at(([10, 0, 0, 1], port).into())
}

#[async_trait]
impl Discovery for Script {
    fn name(&self) -> &'static str {
        "script"
    }
    async fn candidates(&self) -> Result<Answer> {
        self.asked.lock().push(Instant::now());
        let next = self.next();
        match next {
            Some(Ok(ports)) => Ok(Answer::of(ports.into_iter().map(at).collect())),
            Some(Err(kind)) => Err(Error::new(kind, "script", "as was asked for")),
            None => std::future::pending().await,
        }
    }
}

impl Observer for Script {
    fn asked(&self, source: &'static str) {
        self.seen.lock().push(format!("asked {source}"));
    }
    fn failed(&self, source: &'static str, kind: ErrorKind) {
        self.seen.lock().push(format!("{source} {}", kind.label()));
    }
    fn found(&self, source: &'static str, candidates: usize) {
        self.seen
            .lock()
            .push(format!("{source} found {candidates}"));
    }
}

impl Script {
    fn new(said: impl IntoIterator<Item = Said>) -> Arc<Self> {
        Arc::new(Self {
            said: Mutex::new(said.into_iter().collect()),
            ..Self::default()
        })
    }
    fn next(&self) -> Option<Said> {
        let mut said = self.said.lock();
        if said.len() > 1 {
            said.pop_front()
        } else {
            said.front().cloned()
        }
    }
    /// The times between questions, in milliseconds.
    fn waits(&self) -> Vec<u128> {
        let asked = self.asked.lock();
        asked
            .windows(2)
            .map(|two| (two[1] - two[0]).as_millis())
            .collect()
    }
}

fn options() -> Options {
    Options {
        pace: Pace {
            jitter: 0.0,
            ..Pace::default()
        },
        own: [at(9).address].into(),
        ..Options::default()
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::Found(candidate) => format!("+{}", candidate.address.port()),
        Event::Gone(candidate) => format!("-{}", candidate.address.port()),
        Event::Trouble(error) => error.kind().label().to_owned(),
    }
}

async fn next(events: &mut mpsc::Receiver<Event>, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        told.push(text(&events.recv().await.unwrap()));
    }
    told
}

fn ports(watcher: &Watcher) -> Vec<u16> {
    let current = watcher.current();
    let current = current.borrow();
    current.keys().map(SocketAddr::port).collect()
}

#[tokio::test(start_paused = true)]
async fn tells_what_comes_and_goes_and_keeps_what_it_knows_through_failures() {
    let script = Script::new([
        Err(ErrorKind::Denied),
        Ok(vec![1, 2, 9]),
        Err(ErrorKind::Unavailable),
        Ok(vec![2]),
        Ok(vec![2]),
        Err(ErrorKind::Throttled),
        Ok(vec![2]),
        Ok(vec![2, 3]),
    ]);
    let (watcher, mut events) = Watcher::start(script.clone(), options(), script.clone());
    assert_eq!(next(&mut events, 3).await, ["denied", "+1", "+2"]);
    assert_eq!(next(&mut events, 2).await, ["unavailable", "throttled"]);
    assert_eq!(next(&mut events, 2).await, ["-1", "+3"]);
    assert_eq!(ports(&watcher), [2, 3]);
    let seen = script.seen.lock().clone();
    let results: Vec<_> = seen.iter().filter(|line| *line != "asked script").collect();
    let found = |n| format!("script found {n}");
    let failed = |kind| format!("script {kind}");
    let expected = [
        failed("denied"),
        found(2),
        failed("unavailable"),
        found(2),
        found(2),
        failed("throttled"),
        found(1),
        found(2),
    ];
    let expected: Vec<_> = expected.iter().collect();
    assert_eq!(results[..8], expected);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_any_length_removes_nobody() {
    let script = Script::new([Ok(vec![1, 2]), Err(ErrorKind::Unavailable)]);
    let (watcher, mut events) = Watcher::start(script.clone(), options(), script.clone());
    assert_eq!(next(&mut events, 2).await, ["+1", "+2"]);
    assert_eq!(next(&mut events, 50).await, ["unavailable"; 50]);
    assert_eq!(ports(&watcher), [1, 2]);
    // It is asked less and less often, and not more seldom than this.
    let longest = Pace::default().failing.longest.as_millis();
    let waits = script.waits();
    assert!(
        waits[20..]
            .iter()
            .all(|wait| (longest / 2..=longest).contains(wait)),
        "{waits:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn asks_often_while_alone_and_seldom_among_peers() {
    let script = Script::new([Ok(vec![1])]);
    let (watcher, _events) = Watcher::start(script.clone(), options(), Arc::new(()));
    tokio::time::sleep(Duration::from_millis(4500)).await;
    watcher.set_peers(1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(script.waits(), [1000, 1000, 1000, 1000, 30_000, 30_000]);
    // Alone again: as at the beginning.
    watcher.set_peers(0);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(script.waits()[6..], [1000, 1000]);
}

#[tokio::test(start_paused = true)]
async fn who_is_poked_asks_at_once_within_the_rate() {
    let script = Script::new([Ok(vec![1])]);
    let (watcher, mut events) = Watcher::start(script.clone(), options(), Arc::new(()));
    watcher.set_peers(3);
    next(&mut events, 1).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    *script.said.lock() = [Ok(vec![1, 2])].into();
    for _ in 0..20 {
        watcher.poke();
    }
    assert_eq!(next(&mut events, 1).await, ["+2"]);
    for _ in 0..20 {
        watcher.poke();
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(script.waits(), [10_000, 500, 30_000]);
}

#[tokio::test(start_paused = true)]
async fn who_is_throttled_does_not_ask_when_poked() {
    let script = Script::new([Ok(vec![1]), Err(ErrorKind::Throttled)]);
    let backoff = Backoff {
        first: Duration::from_secs(20),
        longest: Duration::from_secs(20),
    };
    let mut options = options();
    options.pace.failing = backoff;
    let (watcher, mut events) = Watcher::start(script.clone(), options, Arc::new(()));
    assert_eq!(next(&mut events, 2).await, ["+1", "throttled"]);
    watcher.poke();
    assert_eq!(next(&mut events, 1).await, ["throttled"]);
    let wait = script.waits()[1];
    assert!((10_000..=20_000).contains(&wait), "{wait}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_is_in_trouble() {
    let script = Script::new([]);
    let (_watcher, mut events) = Watcher::start(script.clone(), options(), Arc::new(()));
    assert_eq!(next(&mut events, 2).await, ["unavailable"; 2]);
}

/// One place for events: what changed while nobody read is told as it is then, and nothing is forgotten.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_learns_the_present() {
    let all: Vec<u16> = (100..200).collect();
    let script = Script::new([Ok(vec![1]), Ok(vec![1, 2]), Ok(vec![1, 3]), Ok(all.clone())]);
    let options = Options {
        events: 1,
        gone_after: 1,
        ..options()
    };
    let (watcher, mut events) = Watcher::start(script.clone(), options, Arc::new(()));
    let mut current = watcher.current();
    current
        .wait_for(|current| current.len() == 100)
        .await
        .unwrap();
    let told = next(&mut events, 102).await;
    assert_eq!(told[0], "+1");
    assert_eq!(told[1], "-1");
    let found: Vec<_> = all.iter().map(|port| format!("+{port}")).collect();
    assert_eq!(told[2..], found);
}

#[tokio::test(start_paused = true)]
async fn watching_goes_on_without_a_reader_and_ends_when_stopped() {
    let script = Script::new([Ok(vec![1]), Ok(vec![1, 2])]);
    let (watcher, events) = Watcher::start(script.clone(), options(), Arc::new(()));
    drop(events);
    let mut current = watcher.current();
    current
        .wait_for(|current| current.len() == 2)
        .await
        .unwrap();
    watcher.stop().await;
    assert!(current.changed().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn too_many_are_bounded_and_told() {
    let script = Script::new([Ok(vec![4, 3, 1, 2])]);
    let options = Options {
        most: 3,
        ..options()
    };
    let (watcher, mut events) = Watcher::start(script.clone(), options, Arc::new(()));
    assert_eq!(next(&mut events, 4).await, ["+1", "+2", "+3", "malformed"]);
    assert_eq!(ports(&watcher), [1, 2, 3]);
}
