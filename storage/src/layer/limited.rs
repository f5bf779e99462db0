//! Limited: when the store asks for less, less important calls are refused first.
//!
//! One [`Limiter`] for a store, shared by a handle for each [`Class`]; each handle is a table. What is refused here is
//! `Throttled`, as it would be by the store, only sooner and in the right order. A wait has a bound by class, and the
//! lines have a length. A backend that retries by itself knows better than its last answer what was too much: it tells
//! by [`Limiter::throttled`], and its limiter is a [`Limiter::told`].

mod rule;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::rule::Bucket;
pub use self::rule::{Class, LimiterOptions};
use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Consistency, Done, Key, Page, Query, Record, Space, Table},
};

/// What the handles of one store share.
#[derive(Debug)]
pub struct Limiter {
    bucket: Mutex<Bucket>,
    /// The backend itself tells what was too much.
    told: bool,
}

impl Limiter {
    /// A limiter that has not heard of trouble yet, and takes `Throttled` for it.
    pub fn new(options: LimiterOptions) -> Arc<Self> {
        Self::listening(options, false)
    }
    /// A limiter that hears of trouble by [`Limiter::throttled`] only: of this backend `Throttled` may also mean that
    /// others were in the way, or that too much waits in this process.
    pub fn told(options: LimiterOptions) -> Arc<Self> {
        Self::listening(options, true)
    }
    fn listening(options: LimiterOptions, told: bool) -> Arc<Self> {
        Arc::new(Self {
            bucket: Mutex::new(Bucket::new(options, Instant::now())),
            told,
        })
    }
    /// The store refused a call because there were too many, and it was or will be asked again.
    pub fn throttled(&self) {
        self.bucket.lock().throttled(Instant::now());
    }
    /// What is allowed at present, in units a second.
    pub fn rate(&self) -> f64 {
        self.bucket.lock().rate()
    }
    fn hear<T>(&self, result: &Result<T>) {
        let now = Instant::now();
        match result.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Throttled) if self.told => {}
            Err(ErrorKind::Throttled) => self.bucket.lock().throttled(now),
            // Nothing is known of its load.
            Err(ErrorKind::Unavailable) => {}
            _ => self.bucket.lock().served(now),
        }
    }
}

/// The layer: a table for calls of one class.
#[derive(Clone)]
pub struct Limited {
    inner: Arc<dyn Table>,
    limiter: Arc<Limiter>,
    class: Class,
}

/// A place in the line of a class; left when dropped.
struct Place<'a> {
    layer: &'a Limited,
    units: f64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut bucket = self.layer.limiter.bucket.lock();
        bucket.leave(self.layer.class, self.units);
    }
}

impl Limited {
    /// Limits the calls to a table, as calls of this class.
    pub fn new(inner: Arc<dyn Table>, limiter: Arc<Limiter>, class: Class) -> Self {
        Self {
            inner,
            limiter,
            class,
        }
    }

    fn take(&self, units: f64) -> Result<(), Duration> {
        let mut bucket = self.limiter.bucket.lock();
        bucket.take(self.class, units, Instant::now())
    }

    fn book(&self, units: f64, waits: Duration) -> Option<Place<'_>> {
        let booked = self.limiter.bucket.lock().book(self.class, units, waits);
        // Not `then_some`: a place that is made is left.
        booked.then(|| Place { layer: self, units })
    }

    /// Waits for its turn, within bounds.
    async fn enter(&self, units: f64) -> Result<()> {
        let begun = Instant::now();
        while let Err(wait) = self.take(units) {
            let place = self.book(units, begun.elapsed() + wait);
            let _place = place.ok_or_else(|| {
                Error::new(
                    ErrorKind::Throttled,
                    format!("too many calls of class {}", self.class.name()),
                )
            })?;
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }
}

/// An operation is a unit.
fn units(batch: &Batch) -> f64 {
    batch.operations.len().max(1) as f64
}

#[async_trait]
impl Table for Limited {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        self.enter(1.0).await?;
        let result = self.class.calling(self.inner.get(key, consistency)).await;
        self.limiter.hear(&result);
        result
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        self.enter(1.0).await?;
        let result = self.class.calling(self.inner.query(query)).await;
        self.limiter.hear(&result);
        result
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        self.enter(units(&batch)).await?;
        let result = self.class.calling(self.inner.write(batch)).await;
        self.limiter.hear(&result);
        result
    }

    fn submit(self: Arc<Self>, batch: Batch, done: Done) {
        if self.take(units(&batch)).is_err() {
            // The line is what bounds these tasks.
            tokio::spawn(async move { done(self.write(batch).await) });
            return;
        }
        let (table, class) = (self.inner.clone(), self.class);
        let hear = Box::new(move |result| {
            self.limiter.hear(&result);
            done(result);
        });
        class.begin(|| table.submit(batch, hear));
    }

    fn trouble(&self) -> Option<Error> {
        self.inner.trouble()
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        self.enter(1.0).await?;
        let call = self.inner.partitions(space, after, limit);
        let result = self.class.calling(call).await;
        self.limiter.hear(&result);
        result
    }
}

#[cfg(test)]
mod tests;
