//! Tally: what a call costs, counted where its requests leave and arrive.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
        },
    },
    error::BoxError,
    types::ConsumedCapacity,
};
use parking_lot::Mutex;
use storage::{
    Error, Result,
    layer::{Call, Class, Observer, Usage},
    shape::Space,
};

/// The call that is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    call: Call,
    space: Option<Space>,
    record: &'static str,
    wire: Arc<Wire>,
    throttled: AtomicU32,
    retries: AtomicU32,
    units: Mutex<HashMap<Option<Space>, Units>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Units {
    read: f64,
    write: f64,
}

#[derive(Debug, Default)]
struct Wire {
    requests: AtomicU32,
    sent: AtomicU64,
    received: AtomicU64,
}

/// Counts the requests of one call.
#[derive(Debug, Clone)]
pub(crate) struct Counting(Arc<Wire>);

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }
    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let length = context.request().body().content_length();
        self.0.requests.fetch_add(1, Relaxed);
        self.0.sent.fetch_add(length.unwrap_or_default(), Relaxed);
        Ok(())
    }
    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let length = context.response().headers().get("content-length");
        let length = length.and_then(|length| length.parse().ok());
        self.0
            .received
            .fetch_add(length.unwrap_or_default(), Relaxed);
        Ok(())
    }
}

impl Tally {
    pub(crate) fn new(call: Call, space: Option<Space>) -> Self {
        Self {
            call,
            space,
            record: "",
            wire: Arc::default(),
            throttled: AtomicU32::new(0),
            retries: AtomicU32::new(0),
            units: Mutex::default(),
        }
    }
    /// The same, of what is called so.
    pub(crate) fn about(self, record: &'static str) -> Self {
        Self { record, ..self }
    }
    pub(crate) fn counting(&self) -> Counting {
        Counting(self.wire.clone())
    }
    pub(crate) fn throttled(&self) {
        self.throttled.fetch_add(1, Relaxed);
    }
    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }
    /// What a read of a table said that it took.
    pub(crate) fn read(&self, capacity: Option<&ConsumedCapacity>) {
        let units = capacity.and_then(ConsumedCapacity::capacity_units);
        self.add(self.space, units.unwrap_or_default(), 0.0);
    }
    /// What a write to a table said that it took.
    pub(crate) fn written(&self, space: Space, capacity: Option<&ConsumedCapacity>) {
        let units = capacity.and_then(ConsumedCapacity::capacity_units);
        self.add(Some(space), 0.0, units.unwrap_or_default());
    }
    /// What a refused write must have taken, which its answer does not say: a unit for each KB that was looked at.
    pub(crate) fn refused(&self, space: Space, bytes: usize, factor: f64) {
        let units = bytes.div_ceil(1024).max(1) as f64;
        self.add(Some(space), 0.0, units * factor);
    }
    fn add(&self, space: Option<Space>, read: f64, write: f64) {
        let mut units = self.units.lock();
        let units = units.entry(space).or_default();
        units.read += read;
        units.write += write;
    }

    /// Tells the observer how the call ended.
    pub(crate) fn tell<T>(&self, observer: Option<&Arc<dyn Observer>>, result: &Result<T>) {
        let Some(observer) = observer else { return };
        let mut units = self.units.lock().clone();
        let own = units.remove(&self.space).unwrap_or_default();
        let usage = Usage {
            call: self.call,
            space: self.space,
            record: self.record,
            class: Class::current(),
            outcome: result.as_ref().map(drop).map_err(Error::kind),
            requests: self.wire.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
            throttled: self.throttled.load(Relaxed),
            read_units: own.read,
            write_units: own.write,
            sent: self.wire.sent.load(Relaxed),
            received: self.wire.received.load(Relaxed),
        };
        observer.spent(&usage);
        for (space, units) in units {
            observer.spent(&Usage {
                space,
                requests: 0,
                retries: 0,
                throttled: 0,
                read_units: units.read,
                write_units: units.write,
                sent: 0,
                received: 0,
                ..usage
            });
        }
    }
}
