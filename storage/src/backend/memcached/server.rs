//! One memcached server: its connections, its breaker, and the generation of what it holds.
//!
//! A key is kept under the generation of its server, a random number that the server itself holds at a key of its own.
//! Who meets a server that holds none draws one and adds it; the server decides whose it is. Each exchange asks for the
//! number after what it does: if it is another one than was used, nothing of the exchange counts, and it is done again
//! under that one. So all nodes use one generation at any time, and a server that was restarted, emptied or replaced has
//! a new one.
//!
//! A node that could not tell a server of a change distrusts it, and sets a new number before it uses it again: what was
//! there before is never read again, by anybody. Numbers never return, so neither do values of before, nor what a
//! stopped server was told then and does now. Tokens carry the generation: a server that counts from the beginning after
//! a restart takes none of before.

use std::sync::Arc;

use memcache::exp::{
    AsyncMetaClient, Error as Failure, Get, Meta, MetaClientBuilder, Op, OpResult, Set,
};
use parking_lot::Mutex;

use super::{
    MemcachedOptions,
    breaker::{Breaker, Entered},
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    repository::record::fresh_id,
};

/// How often an exchange is done again because the generation changed.
const MAX_CHANGES: usize = 3;

/// Results of an exchange, each with its own answer, and the generation they are of.
pub(super) type Exchanged = (u64, Vec<Result<OpResult>>);

#[derive(Debug, Clone, Copy, Default)]
struct Generation {
    current: Option<u64>,
    /// How often it was distrusted, and up to which of these it was given a new one.
    doubts: u64,
    cleared: u64,
}

/// The server.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) weight: u32,
    /// Where it is dialled.
    pub(super) address: String,
    generation_key: String,
    options: MemcachedOptions,
    breaker: Breaker,
    client: tokio::sync::Mutex<Option<AsyncMetaClient>>,
    generation: Mutex<Generation>,
    /// Held by who asks for the generation or sets it.
    agreeing: tokio::sync::Mutex<()>,
}

impl Server {
    pub(super) fn new(
        name: String,
        address: String,
        weight: u32,
        options: &MemcachedOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name,
            weight,
            address,
            generation_key: format!("{}:generation", options.namespace),
            breaker: Breaker::new(options.breaker, clock),
            options: options.clone(),
            client: tokio::sync::Mutex::default(),
            generation: Mutex::default(),
            agreeing: tokio::sync::Mutex::default(),
        }
    }

    /// Nothing that it holds now is to be read again.
    pub(super) fn distrust(&self) {
        self.generation.lock().doubts += 1;
    }

    pub(super) fn is_trusted(&self) -> bool {
        let generation = self.generation.lock();
        generation.doubts == generation.cleared
    }

    pub(super) fn is_asked(&self) -> bool {
        self.breaker.is_closed()
    }

    /// Does operations, in one round trip once the generation is known.
    ///
    /// # Errors
    /// `Unavailable`: nothing is known of any of them.
    pub(super) async fn run(&self, build: impl Fn(u64) -> Result<Vec<Op>>) -> Result<Exchanged> {
        for _ in 0..MAX_CHANGES {
            let used = self.agree().await?;
            let mut operations = build(used)?;
            operations.push(Get::new(&self.generation_key).into());
            let mut results = self.exchange(operations).await?;
            let last = results.pop().ok_or_else(|| self.gone("no answer"))?;
            let Ok(found) = last else {
                return Err(first_failure(results, last));
            };
            let found = generation_of(&found);
            if found == Some(used) {
                return Ok((used, results));
            }
            self.adopt(used, found);
        }
        Err(self.gone("its generation changes all the time"))
    }

    /// The generation, agreed with the server if it is not known or not trusted.
    pub(super) async fn agree(&self) -> Result<u64> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _turn = self.agreeing.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let before = *self.generation.lock();
        let fresh = fresh_id();
        let mut set = Set::new(&self.generation_key, format!("{fresh:016x}"));
        if before.doubts == before.cleared {
            set = set.add();
        }
        let get = Get::new(&self.generation_key);
        let mut results = self.exchange(vec![set.into(), get.into()]).await?;
        let (got, set) = (results.pop(), results.pop());
        set.ok_or_else(|| self.gone("no answer"))??;
        let found = got.ok_or_else(|| self.gone("no answer"))??;
        let found = generation_of(&found).ok_or_else(|| self.gone("it keeps no generation"))?;
        let mut generation = self.generation.lock();
        generation.current = Some(found);
        generation.cleared = before.doubts;
        tracing::info!(server = self.name, generation = %format!("{found:016x}"), "cache generation agreed");
        Ok(found)
    }

    fn known(&self) -> Option<u64> {
        let generation = self.generation.lock();
        let is_trusted = generation.doubts == generation.cleared;
        generation.current.filter(|_| is_trusted)
    }

    /// The server had another generation than was used, or none.
    fn adopt(&self, used: u64, found: Option<u64>) {
        let mut generation = self.generation.lock();
        if generation.current == Some(used) {
            generation.current = found;
        }
    }

    async fn exchange(&self, operations: Vec<Op>) -> Result<Vec<Result<OpResult>>> {
        let Some(entered) = self.breaker.enter() else {
            return Err(self.gone("not asked for a while"));
        };
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => {
                self.failed(entered).await;
                return Err(error);
            }
        };
        let results = match client.run_batch(operations).await {
            Ok(results) => results,
            Err(failure) => {
                entered.succeeded();
                return Err(self.error(failure));
            }
        };
        let is_dead =
            |result: &Result<_, Failure>| matches!(result, Err(failure) if is_fault(failure));
        if results.iter().any(is_dead) {
            self.failed(entered).await;
        } else {
            entered.succeeded();
        }
        let told =
            |result: Result<OpResult, Failure>| result.map_err(|failure| self.error(failure));
        Ok(results.into_iter().map(told).collect())
    }

    async fn failed(&self, entered: Entered<'_>) {
        if entered.failed() {
            tracing::warn!(server = self.name, "cache server does not answer");
            // Its name may mean another address by the time it is asked again.
            *self.client.lock().await = None;
        }
    }

    async fn client(&self) -> Result<AsyncMetaClient> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let options = &self.options;
        let connecting = MetaClientBuilder::new()
            .connect_timeout(Some(options.connect_timeout))
            .io_timeout(Some(options.operation_timeout))
            .max_connections(Some(options.connections))
            .max_idle(options.connections)
            .connect_async(self.address.clone());
        let connected = tokio::time::timeout(options.connect_timeout, connecting)
            .await
            .map_err(|_| self.gone("its name is not found in time"))?
            .map_err(|failure| self.error(failure))?;
        *client = Some(connected.clone());
        Ok(connected)
    }

    fn gone(&self, why: &str) -> Error {
        let what = format!("cache server {}: {why}", self.name);
        Error::new(ErrorKind::Unavailable, what)
    }

    fn error(&self, failure: Failure) -> Error {
        let kind = match root(&failure) {
            Failure::Server(text) if text.contains("too large") => ErrorKind::TooLarge,
            _ => ErrorKind::Unavailable,
        };
        let what = format!("cache server {}", self.name);
        Error::new(kind, what).with_source(failure)
    }
}

fn generation_of(result: &OpResult) -> Option<u64> {
    let value = result.as_get()?.value.as_deref()?;
    u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

fn first_failure(results: Vec<Result<OpResult>>, last: Result<OpResult>) -> Error {
    let all = results.into_iter().chain([last]);
    all.filter_map(Result::err)
        .next()
        .expect("the last one failed")
}

fn root(failure: &Failure) -> &Failure {
    match failure {
        Failure::Ambiguous { source, .. } => root(source),
        other => other,
    }
}

/// Whether a server that fails like this is not well; it is if it says no in good order.
fn is_fault(failure: &Failure) -> bool {
    !matches!(
        root(failure),
        Failure::Server(_) | Failure::Rejected(_) | Failure::Usage(_)
    )
}

/// The read of a key with its token.
pub(super) fn get(key: &str) -> Op {
    Get::new(key).meta(Meta::NONE.cas()).into()
}
