//! Single flight: of those who miss the same at the same time, one asks the store and all get its answer.
//!
//! Nobody joins a question that was asked before they came, for its answer may be older than what they must see: while
//! one is under way, those who come gather for the next. So the store is asked for a key once at a time, and a caller
//! waits for two answers at most. If the one who asks is dropped, the next in line asks.

use std::{
    hash::Hash,
    sync::{Arc, Weak},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::error::Result;

/// Keys that are asked for at a time. Beyond it everybody asks for themselves.
const MAX_FLIGHTS: usize = 4096;

type Cell<V> = OnceCell<Result<V>>;
type Lines<K, V> = HashMap<K, Weak<Line<V>>, foldhash::fast::RandomState>;

/// Those who want one key.
struct Line<V> {
    /// Held by who asks.
    turn: tokio::sync::Mutex<()>,
    /// What those who come now wait for: a question not yet asked.
    next: Mutex<Arc<Cell<V>>>,
}

impl<V> Line<V> {
    fn new() -> Self {
        Self {
            turn: tokio::sync::Mutex::new(()),
            next: Mutex::new(Arc::new(Cell::new())),
        }
    }
}

/// What is under way.
pub(super) struct Flights<K, V> {
    lines: Mutex<Lines<K, V>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self {
            lines: Mutex::default(),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    /// What `ask` answers, or what another one's `ask` for the same key answers, called after this was.
    pub(super) async fn share<F: Future<Output = Result<V>>>(
        &self,
        key: K,
        ask: impl FnOnce() -> F,
    ) -> Result<V> {
        let Some(seat) = self.seat(key) else {
            return ask().await;
        };
        let line = &seat.line;
        let cell = line.next.lock().clone();
        let lead = async || {
            let _turn = line.turn.lock().await;
            *line.next.lock() = Arc::new(Cell::new());
            ask().await
        };
        cell.get_or_init(lead).await.clone()
    }

    fn seat(&self, key: K) -> Option<Seat<'_, K, V>> {
        let mut lines = self.lines.lock();
        let line = match lines.get(&key).and_then(Weak::upgrade) {
            Some(line) => line,
            None if lines.len() >= MAX_FLIGHTS => return None,
            None => {
                let line = Arc::new(Line::new());
                lines.insert(key.clone(), Arc::downgrade(&line));
                line
            }
        };
        Some(Seat {
            flights: self,
            key,
            line,
        })
    }
}

/// A place in a line, which ends with the last of them.
struct Seat<'a, K: Hash + Eq, V> {
    flights: &'a Flights<K, V>,
    key: K,
    line: Arc<Line<V>>,
}

impl<K: Hash + Eq, V> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        let mut lines = self.flights.lines.lock();
        if Arc::strong_count(&self.line) == 1 {
            lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Poll, Waker},
    };

    use super::*;

    type Call<'a> = Pin<Box<dyn Future<Output = Result<usize>> + 'a>>;

    /// What a call answers, if it does.
    fn poll(call: &mut Call<'_>) -> Option<usize> {
        let mut context = Context::from_waker(Waker::noop());
        match call.as_mut().poll(&mut context) {
            Poll::Ready(answer) => Some(answer.unwrap()),
            Poll::Pending => None,
        }
    }

    struct Store {
        flights: Flights<&'static str, usize>,
        asked: AtomicUsize,
        answers: tokio::sync::Semaphore,
    }

    impl Store {
        fn new() -> Self {
            Self {
                flights: Flights::default(),
                asked: AtomicUsize::new(0),
                answers: tokio::sync::Semaphore::new(0),
            }
        }
        /// A call that has begun; its answer is the number of the question.
        fn call(&self, key: &'static str) -> Call<'_> {
            let ask = async || {
                let number = self.asked.fetch_add(1, Ordering::SeqCst);
                self.answers.acquire().await.unwrap().forget();
                Ok(number)
            };
            let mut call: Call<'_> = Box::pin(self.flights.share(key, ask));
            assert_eq!(poll(&mut call), None);
            call
        }
        fn answer(&self) {
            self.answers.add_permits(1);
        }
    }

    #[test]
    fn who_comes_while_one_asks_shares_the_next_question() {
        let store = Store::new();
        let mut first = store.call("a");
        let (mut second, mut third) = (store.call("a"), store.call("a"));
        let mut other = store.call("b");
        store.answer();
        assert_eq!(poll(&mut first), Some(0));
        store.answer();
        assert_eq!(poll(&mut other), Some(1));
        assert_eq!((poll(&mut second), poll(&mut third)), (None, None));
        let mut fourth = store.call("a");
        store.answer();
        assert_eq!((poll(&mut second), poll(&mut third)), (Some(2), Some(2)));
        assert_eq!(poll(&mut fourth), None);
        store.answer();
        assert_eq!(poll(&mut fourth), Some(3));
        drop((first, second, third, fourth, other));
        assert!(store.flights.lines.lock().is_empty());
    }

    #[test]
    fn the_next_asks_if_who_asks_is_dropped() {
        let store = Store::new();
        let first = store.call("a");
        let (second, mut third) = (store.call("a"), store.call("a"));
        drop(first);
        assert_eq!(poll(&mut third), None);
        drop(second);
        store.answer();
        assert_eq!(poll(&mut third), Some(1));
        drop(third);
        assert!(store.flights.lines.lock().is_empty());
    }
}
