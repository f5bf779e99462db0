//! The four tables: created by `init`, looked at by `check`. What is set on them is in `upkeep.rs`.
//!
//! Encryption at rest is always on in DynamoDB (with a key of its own unless the table says otherwise), so there is no
//! step for it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        TableDescription, TableStatus,
    },
};
use storage::{Result, layer::Call};
use tokio::time::Instant;

use super::{
    DynamoTable,
    item::{PARTITION, SORT},
};
use crate::{
    DynamoOptions, Report,
    failure::{Failure, persist},
    setup::{Outcome, Progress, Tell, refusal},
    tally::Tally,
};

/// How long a table, or what is set on it, may take to be ready: backups of a new table take some minutes at times.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Who waits is told so this often.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Creates the tables that are missing, with billing by request; sets expiry and point-in-time recovery. May be repeated,
/// and done by several at once.
///
/// # Errors
/// `Unavailable` with a sentence for the operator: not permitted, not reached, or a table of another form is in the way.
/// What was done before was told.
pub async fn init_tables(options: &DynamoOptions, tell: Tell<'_>) -> Result<Report> {
    options.access.check(&options.timeouts).await?;
    let table = DynamoTable::open(options).await;
    let mut progress = Progress::new(tell);
    for name in table.names.iter() {
        let setup = Setup {
            table: &table,
            name,
        };
        let (outcome, found) = setup.create(tell).await?;
        let billing = provisioned(&found).map_or(outcome.clone(), Outcome::Kept);
        progress.add(format!("table {name}"), outcome);
        progress.add(format!("table {name}: billing by request"), billing);
        let outcome = setup.set_expiry(tell).await?;
        progress.add(format!("table {name}: expiry"), outcome);
        if options.point_in_time_recovery {
            let outcome = setup.set_recovery(tell).await?;
            progress.add(format!("table {name}: point-in-time recovery"), outcome);
        }
    }
    Ok(progress.report)
}

/// Whether the tables are there, of the right form, and may be read and written. Changes nothing. Gives warnings: what a
/// node can live with, and the operator should know.
///
/// # Errors
/// `Unavailable` with one sentence that names the table, what is wrong, and what helps.
pub async fn check_tables(options: &DynamoOptions) -> Result<Vec<String>> {
    options.access.check(&options.timeouts).await?;
    let table = DynamoTable::open(options).await;
    let mut warnings = Vec::new();
    for name in table.names.iter() {
        let setup = Setup {
            table: &table,
            name,
        };
        let Some(found) = setup.describe().await? else {
            return Err(refusal(format!(
                "{} does not exist; `starling init` creates it",
                setup.what()
            )));
        };
        setup.check_form(&found)?;
        if !setup.is_ready(&found)? {
            return Err(refusal(format!(
                "{} exists and is not ready yet: it is being made; try again in a minute",
                setup.what()
            )));
        }
        warnings.extend(provisioned(&found).map(|how| format!("{}: {how}", setup.what())));
        warnings.extend(setup.check_expiry().await?);
        setup.check_permissions().await?;
    }
    Ok(warnings)
}

/// What is to be said of a table that is not billed by request.
fn provisioned(found: &TableDescription) -> Option<String> {
    let summary = found.billing_mode_summary();
    let mode = summary.and_then(|summary| summary.billing_mode());
    let throughput = found.provisioned_throughput();
    let reads = throughput.and_then(|it| it.read_capacity_units());
    let writes = throughput.and_then(|it| it.write_capacity_units());
    let (reads, writes) = (reads.unwrap_or(0), writes.unwrap_or(0));
    // Tables that were never billed by request have no summary.
    let is_provisioned = mode.map_or(reads > 0, |mode| *mode == BillingMode::Provisioned);
    is_provisioned.then(|| {
        format!(
            "its capacity is provisioned, {reads} units for reads and {writes} for writes, and what is beyond is throttled"
        )
    })
}

/// Work on one table.
pub(super) struct Setup<'a> {
    table: &'a DynamoTable,
    pub(super) name: &'a str,
}

impl Setup<'_> {
    pub(super) fn client(&self) -> &Client {
        &self.table.client
    }

    pub(super) fn what(&self) -> String {
        format!("DynamoDB table {}", self.name)
    }

    pub(super) fn failure<E>(&self, action: &str, error: SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        Failure::of(&format!("{}, {action}", self.what()), error)
    }

    /// Asks again while that may help; a failure becomes a sentence.
    pub(super) async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        persist(&self.table.retries, &Tally::new(Call::Get, None), ask)
            .await
            .map_err(|failure| refusal(failure.sentence()))
    }

    async fn describe(&self) -> Result<Option<TableDescription>> {
        self.ask(|| async {
            let described = self.client().describe_table().table_name(self.name);
            match described.send().await {
                Ok(found) => Ok(found.table),
                Err(error) if is_code(&error, &["ResourceNotFoundException"]) => Ok(None),
                Err(error) => Err(self.failure("dynamodb:DescribeTable", error)),
            }
        })
        .await
    }

    /// Creates the table if there is none, and waits until it is ready, whoever makes it.
    async fn create(&self, tell: Tell<'_>) -> Result<(Outcome, TableDescription)> {
        let outcome = match self.describe().await? {
            Some(found) => self.check_form(&found).map(|()| Outcome::Present)?,
            None => self.create_missing().await?,
        };
        let ready = || async {
            let Some(found) = self.describe().await? else {
                return Ok(None);
            };
            Ok(self.is_ready(&found)?.then_some(found))
        };
        let found = self.wait("until it is there", tell, ready).await?;
        self.check_form(&found)?;
        Ok((outcome, found))
    }

    async fn create_missing(&self) -> Result<Outcome> {
        self.ask(|| async {
            let create = [PARTITION, SORT]
                .into_iter()
                .zip([KeyType::Hash, KeyType::Range])
                .try_fold(self.client().create_table(), |create, (name, key_type)| {
                    let attribute = AttributeDefinition::builder()
                        .attribute_name(name)
                        .attribute_type(ScalarAttributeType::B)
                        .build()?;
                    let key = KeySchemaElement::builder()
                        .attribute_name(name)
                        .key_type(key_type)
                        .build()?;
                    Ok(create.attribute_definitions(attribute).key_schema(key))
                })
                .map_err(|error: aws_sdk_dynamodb::error::BuildError| {
                    Failure::unexpected(self.name, error.to_string())
                })?;
            let created = create
                .table_name(self.name)
                .billing_mode(BillingMode::PayPerRequest)
                .send()
                .await;
            match created {
                // Another node was faster, or we were and did not hear of it.
                Err(error) if is_code(&error, &["ResourceInUseException"]) => Ok(Outcome::Present),
                Err(error) => Err(self.failure("dynamodb:CreateTable", error)),
                Ok(_) => Ok(Outcome::Done),
            }
        })
        .await
    }

    /// Whether the table can be used: not yet, if somebody makes it. While it is changed (`UPDATING`) it can.
    fn is_ready(&self, found: &TableDescription) -> Result<bool> {
        match found.table_status() {
            None | Some(TableStatus::Active | TableStatus::Updating) => Ok(true),
            Some(TableStatus::Creating) => Ok(false),
            Some(TableStatus::Deleting) => Err(refusal(format!(
                "{} is being deleted; once it is gone `starling init` creates it anew",
                self.what()
            ))),
            Some(other) => Err(refusal(format!(
                "{} cannot be used: its status is {other}",
                self.what()
            ))),
        }
    }

    /// Asks until there is an answer, and says meanwhile that it waits.
    pub(super) async fn wait<T, F>(
        &self,
        until: &str,
        tell: Tell<'_>,
        ask: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Option<T>>> + Send,
    {
        let begun = Instant::now();
        let mut tell_at = begun;
        loop {
            if let Some(ready) = ask().await? {
                return Ok(ready);
            }
            let now = Instant::now();
            let waited = now - begun;
            if waited >= PATIENCE {
                return Err(refusal(format!(
                    "{}: waited {} s {until}; run `starling init` again later",
                    self.what(),
                    waited.as_secs()
                )));
            }
            if now >= tell_at {
                tell(&format!("table {}: waiting {until}", self.name));
                tell_at = now + TOLD_EVERY;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn check_form(&self, found: &TableDescription) -> Result<()> {
        let key: Vec<_> = found
            .key_schema()
            .iter()
            .map(|key| (key.key_type().clone(), key.attribute_name()))
            .collect();
        let is_binary = |name: &str| {
            found.attribute_definitions().iter().any(|attribute| {
                attribute.attribute_name() == name
                    && *attribute.attribute_type() == ScalarAttributeType::B
            })
        };
        let ours = [(KeyType::Hash, PARTITION), (KeyType::Range, SORT)];
        if key == ours && is_binary(PARTITION) && is_binary(SORT) {
            return Ok(());
        }
        Err(refusal(format!(
            "{} is not a table of ours: its keys must be {PARTITION} and {SORT}, both binary; choose another prefix",
            self.what()
        )))
    }
}

pub(super) fn is_code<E: ProvideErrorMetadata>(error: &SdkError<E>, codes: &[&str]) -> bool {
    let code = error.as_service_error().and_then(|error| error.code());
    code.is_some_and(|code| codes.contains(&code))
}
