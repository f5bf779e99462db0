//! Several sources: their union. The failure of one does not hide the others, nor what it gave before.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{task::JoinSet, time::Instant};

use super::{
    Discovery,
    parts::{Parts, if_answered},
};
use crate::{Answer, Error, ErrorKind, Result, backoff::Backoff};

/// Several sources, asked at the same time. Of an address that several give, the first says most of it. A source that
/// fails is asked less and less often, without slowing the others.
pub struct Mixed {
    sources: Vec<Arc<Source>>,
    parts: Parts<usize>,
}

/// One of them.
struct Source {
    source: Arc<dyn Discovery>,
    failing: Mutex<Option<Failing>>,
}

/// That a source fails.
struct Failing {
    /// How often in a row.
    times: u32,
    /// With what.
    error: Error,
    /// It is not asked before.
    until: Instant,
}

/// Between two questions to a source that fails.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(60),
};

impl Source {
    /// What the source says; of one that failed just now, what it said then.
    async fn ask(&self) -> Result<Answer> {
        let before = match &*self.failing.lock() {
            Some(failing) if Instant::now() < failing.until => return Err(failing.error.clone()),
            Some(failing) => failing.times,
            None => 0,
        };
        let answer = self.source.candidates().await;
        *self.failing.lock() = answer.as_ref().err().map(|error| Failing {
            times: before.saturating_add(1),
            error: error.clone(),
            until: Instant::now() + BACKOFF.after(before.saturating_add(1), fastrand::f64()),
        });
        answer
    }
}

impl Mixed {
    /// The union of these.
    pub fn new(sources: Vec<Arc<dyn Discovery>>) -> Self {
        let source = |source| {
            let failing = Mutex::default();
            Arc::new(Source { source, failing })
        };
        Self {
            sources: sources.into_iter().map(source).collect(),
            parts: Parts::default(),
        }
    }

    /// Asks all; what each said, in their order.
    async fn ask(&self) -> Vec<Result<Answer>> {
        let mut asking = JoinSet::new();
        for (index, source) in self.sources.iter().cloned().enumerate() {
            asking.spawn(async move { (index, source.ask().await) });
        }
        let lost = |source: &Arc<Source>| {
            let sentence = "asking it came to no end";
            let name = source.source.name();
            Err(Error::new(ErrorKind::Unavailable, name, sentence))
        };
        let mut answers: Vec<_> = self.sources.iter().map(lost).collect();
        while let Some(asked) = asking.join_next().await {
            if let Ok((index, answer)) = asked {
                answers[index] = answer;
            }
        }
        answers
    }
}

#[async_trait]
impl Discovery for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }

    async fn candidates(&self) -> Result<Answer> {
        let (mut all, mut answered) = (Answer::default(), false);
        for (index, answer) in self.ask().await.into_iter().enumerate() {
            let candidates = answer.map(|answer| {
                all.troubles.extend(answer.troubles);
                all.is_fresh_for(answer.fresh_for);
                answer.candidates
            });
            answered |= self.parts.settle(index, candidates, &mut all);
        }
        if_answered(answered, all)
    }
}

#[cfg(test)]
mod tests;
