//! A row: an operation, done some times, and what that came to.

use std::{future::Future, time::Instant};

use anyhow::{Context as _, Result};

use super::{
    ledger::{Ledger, Spent},
    prices::Prices,
};
use crate::load::histogram::Histogram;

/// An operation.
#[derive(Clone)]
pub struct Row {
    /// What was done.
    pub name: String,
    /// How often.
    pub times: u64,
    /// What all of them spent together.
    pub spent: Spent,
    /// How long each took its client.
    pub latency: Histogram,
    /// Requests of the one that had the fewest, and of the one that had the most.
    pub requests: (u64, u64),
}

impl Row {
    /// Nothing was done yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            times: 0,
            spent: Spent::default(),
            latency: Histogram::default(),
            requests: (u64::MAX, 0),
        }
    }

    /// What was spent behind operations: as often as it was.
    #[must_use]
    pub fn behind(name: &str, spent: Spent) -> Self {
        let times = spent.total().calls;
        Self {
            times,
            spent,
            ..Self::new(name)
        }
    }

    /// Does it once. What was spent before is not counted.
    ///
    /// # Errors
    /// Its own.
    pub async fn measure<T>(
        &mut self,
        ledger: &Ledger,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let _before = ledger.take();
        let began = Instant::now();
        let done = operation.await.with_context(|| self.name.clone())?;
        let elapsed = began.elapsed().as_nanos();
        let spent = ledger.take();
        self.latency.record(u64::try_from(elapsed)?);
        self.times += 1;
        let requests = spent.total().requests;
        self.requests = (self.requests.0.min(requests), self.requests.1.max(requests));
        self.spent.add(&spent);
        Ok(done)
    }

    /// A share of what all of them spent.
    #[must_use]
    pub fn each(&self, of_all: f64) -> f64 {
        of_all / self.times.max(1) as f64
    }

    /// What a million of them cost.
    #[must_use]
    pub fn price(&self, prices: &Prices) -> f64 {
        self.each(prices.of_a_million(&self.spent))
    }

    /// What each asks for: "core get account", with how often if that is not once.
    #[must_use]
    pub fn asks(&self) -> Vec<String> {
        let asked = self.spent.asked.iter();
        let asked = asked.filter(|(_, counts)| counts.requests > 0);
        asked
            .map(|((space, call, record), counts)| {
                let times = self.each(counts.requests as f64);
                let what = format!("{space} {call} {record}");
                match times {
                    1.0 => what,
                    whole if whole.fract() == 0.0 => format!("{what} x{whole}"),
                    part => format!("{what} x{part:.2}"),
                }
            })
            .collect()
    }

    /// The calls that list or scan: none on a path that is hot.
    #[must_use]
    pub fn scans(&self) -> Vec<String> {
        let is_scan = |call: &str| matches!(call, "partitions" | "blob_list");
        let asked = self.spent.asked.keys();
        let scans = asked.filter(|(_, call, _)| is_scan(call));
        scans
            .map(|(space, call, record)| format!("{space} {call} {record}"))
            .collect()
    }
}
