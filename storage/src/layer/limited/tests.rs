//! The layer over a table of which the test says how much it takes.

use std::collections::HashMap;

use tokio::task::JoinSet;

use super::*;
use crate::{
    backend::memory::MemoryTable,
    layer::{
        Faulty, Switchboard,
        faulty::{Fault, When},
    },
    shape::Condition,
};

fn key() -> Key {
    Key {
        space: Space::Core,
        partition: "p".into(),
        sort: "s".into(),
    }
}

/// Takes so many calls a second, and refuses the others.
struct Narrow {
    inner: MemoryTable,
    each_second: u32,
    second: Mutex<(Instant, u32)>,
}

impl Narrow {
    fn new(each_second: u32) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryTable::new(),
            each_second,
            second: Mutex::new((Instant::now(), 0)),
        })
    }
}

#[async_trait]
impl Table for Narrow {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        {
            let mut second = self.second.lock();
            if second.0.elapsed() >= Duration::from_secs(1) {
                *second = (Instant::now(), 0);
            }
            second.1 += 1;
            if second.1 > self.each_second {
                return Err(Error::new(ErrorKind::Throttled, "enough for this second"));
            }
        }
        self.inner.get(key, consistency).await
    }
    async fn query(&self, query: &Query) -> Result<Page> {
        self.inner.query(query).await
    }
    async fn write(&self, batch: Batch) -> Result<()> {
        self.inner.write(batch).await
    }
    fn trouble(&self) -> Option<Error> {
        None
    }
    async fn partitions(&self, _: Space, _: Option<&[u8]>, _: usize) -> Result<Vec<Bytes>> {
        Ok(Vec::new())
    }
}

/// Asks so many times a second for a while; how many were answered and how many refused.
async fn ask(table: Limited, each_second: u64, seconds: u64) -> (u64, u64) {
    let mut calls = JoinSet::new();
    for _ in 0..each_second * seconds {
        tokio::time::sleep(Duration::from_secs(1) / u32::try_from(each_second).unwrap()).await;
        let table = table.clone();
        calls.spawn(async move { table.get(&key(), Consistency::Strong).await.is_ok() });
    }
    let answers = calls.join_all().await;
    let answered = answers.iter().filter(|ok| **ok).count() as u64;
    (answered, answers.len() as u64 - answered)
}

/// 400 calls a second are asked of a table that takes 200: messages, a quarter, hardly notice.
#[tokio::test(start_paused = true)]
async fn lower_classes_are_refused_first() {
    let options = LimiterOptions {
        growth: 20.0,
        ..LimiterOptions::default()
    };
    let (table, limiter) = (Narrow::new(200), Limiter::new(options));
    let mut asking = JoinSet::new();
    for class in [Class::Message, Class::Bind, Class::Roster, Class::Archive] {
        let handle = Limited::new(table.clone(), limiter.clone(), class);
        asking.spawn(async move { (class, ask(handle, 100, 60).await) });
    }
    let shares: HashMap<Class, (u64, u64)> = asking.join_all().await.into_iter().collect();
    let refused = |class: Class| shares[&class].1;
    let told = format!("{shares:?}");
    assert!(refused(Class::Message) < 600, "{told}");
    assert!(refused(Class::Archive) > 3000, "{told}");
    assert!(refused(Class::Message) <= refused(Class::Bind), "{told}");
    assert!(refused(Class::Bind) < refused(Class::Roster), "{told}");
    assert!(refused(Class::Roster) <= refused(Class::Archive), "{told}");
    let answered: u64 = shares.values().map(|(answered, _)| answered).sum();
    assert!(answered > 60 * 100, "what there is is used: {told}");
}

/// Nothing is refused as long as the store refuses nothing.
#[tokio::test(start_paused = true)]
async fn without_trouble_nobody_waits() {
    let limiter = Limiter::new(LimiterOptions::default());
    for class in Class::ALL {
        let table = Limited::new(Arc::new(MemoryTable::new()), limiter.clone(), class);
        let begun = Instant::now();
        for _ in 0..300 {
            table.get(&key(), Consistency::Strong).await.unwrap();
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

/// A wait ends with the turn; who would wait too long is told at once; a dropped wait leaves the line.
#[tokio::test(start_paused = true)]
async fn waits_are_bounded() {
    let limiter = Limiter::new(LimiterOptions {
        most: 10.0,
        least: 1.0,
        burst: Duration::from_secs(1),
        ..LimiterOptions::default()
    });
    let handle = |class| {
        let table = Arc::new(MemoryTable::new());
        Arc::new(Limited::new(table, limiter.clone(), class))
    };
    let get = async |class| handle(class).get(&key(), Consistency::Strong).await;
    for _ in 0..10 {
        get(Class::Message).await.unwrap();
    }
    let begun = Instant::now();
    assert_eq!(
        get(Class::Compaction).await.unwrap_err().kind(),
        ErrorKind::Throttled
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    get(Class::Message).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(100));
    for _ in 0..20 {
        let abandoned = tokio::time::timeout(Duration::from_millis(1), get(Class::Message)).await;
        assert!(abandoned.is_err());
    }
    get(Class::Message).await.expect("a line that is empty");

    let (sender, answer) = tokio::sync::oneshot::channel();
    let done = Box::new(|result| sender.send(result).expect("who submits waits"));
    let batch = Batch::new().put(key(), "x", Condition::Any);
    handle(Class::Message).submit(batch, done);
    answer.await.unwrap().unwrap();
}

/// What the store refuses is heard, whatever call it was; what is unknown is not.
#[tokio::test(start_paused = true)]
async fn every_call_is_heard() {
    let heard = async |kind: ErrorKind, call: usize, limiter: Arc<Limiter>| {
        let switchboard = Switchboard::new(1);
        switchboard.add(|_| true, When::Always, Fault::Fail(kind));
        let faulty = Arc::new(Faulty::new(Arc::new(MemoryTable::new()), switchboard));
        let table = Arc::new(Limited::new(faulty, limiter.clone(), Class::Message));
        let batch = Batch::new().put(key(), "x", Condition::Any);
        match call {
            0 => drop(table.get(&key(), Consistency::Strong).await),
            1 => drop(table.write(batch).await),
            2 => drop(table.partitions(Space::Ctl, None, 1).await),
            _ => {
                let (sender, answer) = tokio::sync::oneshot::channel();
                let done = Box::new(|result| sender.send(result).expect("who submits waits"));
                table.submit(batch, done);
                drop(answer.await.unwrap());
            }
        }
        limiter.rate() < LimiterOptions::default().most
    };
    for call in 0..4 {
        for (kind, expected) in [
            (ErrorKind::Throttled, true),
            (ErrorKind::Unavailable, false),
            (ErrorKind::Conflict, false),
        ] {
            let all = Limiter::new(LimiterOptions::default());
            assert_eq!(heard(kind, call, all).await, expected, "{kind:?} {call}");
            let told = Limiter::told(LimiterOptions::default());
            assert!(!heard(kind, call, told).await, "{kind:?} {call}");
        }
    }
    let told = Limiter::told(LimiterOptions::default());
    told.throttled();
    assert!(told.rate() < LimiterOptions::default().most);
}
