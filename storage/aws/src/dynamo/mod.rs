//! DynamoDB as a table: four tables, an item for each record.
//!
//! A lone put is an `UpdateItem` or a `PutItem`; everything else is a transaction with a token, lone deletes too: a
//! delete leaves nothing by which its repeat could know itself, the token does (for ten minutes), at twice the price.
//! A lone check is a consistent read. Throttling, transactions in each other's way and answers that were lost are tried
//! again here, under one write id and one token for all attempts of a batch.
//!
//! What is left: a lone put whose answer was lost is done a second time if, between the attempts, two others wrote the
//! same record (under `Any` and `Exists`) or another removed it (under `Any` and `Absent`). A transaction would not; for
//! twice the price of every message that is too little.
//!
//! Source: the API reference of DynamoDB 2012-08-10.

mod item;
mod partitions;
mod permissions;
mod plan;
mod read;
pub(crate) mod setup;
mod transaction;
mod upkeep;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::{Client, types::ReturnConsumedCapacity};
use bytes::Bytes;
use storage::{
    Clock, Error, ErrorKind, Result, SystemClock,
    key::record_name,
    layer::{Call, Observer, Retries},
    shape::{Batch, Consistency, Done, Key, Page, Query, Record, Space, Table},
};
use tokio::sync::Semaphore;

use crate::{
    DynamoOptions,
    failure::{Failure, persist},
    tally::Tally,
};

/// The table.
pub struct DynamoTable {
    client: Client,
    names: Names,
    clock: Arc<dyn Clock>,
    retries: Retries,
    observer: Option<Arc<dyn Observer>>,
    submitted: Arc<Semaphore>,
}

/// The names of the four tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names([String; 4]);

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self(["core", "log", "idx", "ctl"].map(|name| format!("{prefix}{name}")))
    }
    pub(crate) fn of(&self, space: Space) -> &str {
        &self.0[space as usize]
    }
    pub(crate) fn space(&self, name: &str) -> Option<Space> {
        let spaces = [Space::Core, Space::Log, Space::Idx, Space::Ctl];
        spaces.into_iter().find(|space| self.of(*space) == name)
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// A client under these options.
pub(crate) async fn client(options: &DynamoOptions) -> Client {
    let config = options.access.load(&options.timeouts).await;
    Client::new(&config)
}

impl DynamoTable {
    /// A table under the machine's clock. Asks nothing of the network: [`check`](crate::setup::check_tables) does.
    pub async fn open(options: &DynamoOptions) -> Self {
        Self {
            client: client(options).await,
            names: Names::new(&options.prefix),
            clock: Arc::new(SystemClock),
            retries: Retries::new(options.timeouts.bound(&options.retry)),
            observer: None,
            submitted: Arc::new(Semaphore::new(options.submitted)),
        }
    }
    /// Decides by this clock what has expired.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
    /// Tells this observer what each call costs ([`Observer::spent`]).
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    fn what(&self, space: Space) -> String {
        format!("DynamoDB table {}", self.names.of(space))
    }

    /// Asks until there is an answer. For calls that change nothing.
    async fn read<T, F>(&self, tally: &Tally, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        persist(&self.retries, tally, ask)
            .await
            .map_err(Failure::into_error)
    }

    fn tell<T>(&self, tally: &Tally, result: &Result<T>) {
        tally.tell(self.observer.as_ref(), result);
    }
}

/// All answers say what they took.
const CAPACITY: ReturnConsumedCapacity = ReturnConsumedCapacity::Total;

fn name_of(key: &Key) -> &'static str {
    record_name(key.space, &key.partition, &key.sort)
}

#[async_trait]
impl Table for DynamoTable {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        let tally = Tally::new(Call::Get, Some(key.space)).about(name_of(key));
        let result = self.find(key, consistency, &tally).await;
        self.tell(&tally, &result);
        result
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        let from = query.from.as_deref().unwrap_or_default();
        let record = record_name(query.space, &query.partition, from);
        let tally = Tally::new(Call::Query, Some(query.space)).about(record);
        let result = self.page(query, &tally).await;
        self.tell(&tally, &result);
        result
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        let first = batch.operations.first().map(|first| first.key());
        let tally =
            Tally::new(Call::Write, first.map(|key| key.space)).about(first.map_or("", name_of));
        let result = self.write_all(batch, &tally).await;
        self.tell(&tally, &result);
        result
    }

    fn submit(self: Arc<Self>, batch: Batch, done: Done) {
        let Ok(permit) = self.submitted.clone().try_acquire_owned() else {
            done(Err(Error::new(
                ErrorKind::Throttled,
                "too many writes are under way",
            )));
            return;
        };
        tokio::spawn(async move {
            let result = self.write(batch).await;
            drop(permit);
            done(result);
        });
    }

    /// What ails DynamoDB ails all nodes.
    fn trouble(&self) -> Option<Error> {
        None
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        let tally = Tally::new(Call::Partitions, Some(space));
        let result = self.scan(space, after, limit, &tally).await;
        self.tell(&tally, &result);
        result
    }
}
