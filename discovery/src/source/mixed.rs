//! Several sources: their union. The failure of one does not hide the others, nor what it gave before.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    Discovery,
    parts::{Parts, if_answered},
};
use crate::{Answer, Error, ErrorKind, Result, backoff::Backoff};

/// Several sources, asked at the same time. Of an address that several give, the first says most of it. A source that
/// fails is asked less and less often, and one that is slow answers a later round: neither slows the others.
pub struct Mixed {
    sources: Vec<Arc<Source>>,
    parts: Parts<usize>,
}

/// One of them.
struct Source {
    source: Arc<dyn Discovery>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failing: Option<Failing>,
    /// The question under way: one at most.
    asking: JoinSet<Result<Answer>>,
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

/// For so long a round waits for a source. What comes later is for the next round.
const ROUND: Duration = Duration::from_secs(2);

/// For so long a question is under way at most.
const PATIENCE: Duration = Duration::from_secs(30);

impl Source {
    fn error(&self, sentence: &str) -> Error {
        Error::new(ErrorKind::Unavailable, self.source.name(), sentence)
    }

    /// What the source says; of one that failed just now, what it said then.
    async fn ask(&self) -> Result<Answer> {
        let mut state = self.state.lock().await;
        if state.asking.is_empty() {
            match &state.failing {
                Some(failing) if Instant::now() < failing.until => {
                    return Err(failing.error.clone());
                }
                _ => {}
            }
            let source = self.source.clone();
            let asked = async move { timeout(PATIENCE, source.candidates()).await };
            let late = self.error("no answer in time");
            state
                .asking
                .spawn(async { asked.await.unwrap_or(Err(late)) });
        }
        let Ok(answered) = timeout(ROUND, state.asking.join_next()).await else {
            return Err(self.error("no answer yet"));
        };
        let lost = || Err(self.error("asking it came to no end"));
        let answer = answered.and_then(Result::ok).unwrap_or_else(lost);
        let times = state.failing.as_ref().map_or(0, |failing| failing.times);
        let times = times.saturating_add(1);
        state.failing = answer.as_ref().err().map(|error| Failing {
            times,
            error: error.clone(),
            until: Instant::now() + BACKOFF.after(times, fastrand::f64()),
        });
        answer
    }
}

impl Mixed {
    /// The union of these.
    pub fn new(sources: Vec<Arc<dyn Discovery>>) -> Self {
        let source = |source| {
            let state = Mutex::default();
            Arc::new(Source { source, state })
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
        let lost = |source: &Arc<Source>| Err(source.error("asking it came to no end"));
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
