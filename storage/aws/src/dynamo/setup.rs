//! The four tables: created by `init`, looked at by `check`.
//!
//! Encryption at rest is always on in DynamoDB (with a key of its own unless the table says otherwise), so there is no
//! step for it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType,
        PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, ScalarAttributeType,
        TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
    },
};
use storage::{Result, layer::Call};

use super::{
    DynamoTable,
    item::{EXPIRES, PARTITION, SORT},
};
use crate::{
    DynamoOptions, Report,
    failure::{Failure, persist},
    setup::{Outcome, refusal},
    tally::Tally,
};

/// How long a table may take to be there.
const CREATION: Duration = Duration::from_secs(120);

/// Creates the tables that are missing, with billing by request; sets expiry and point-in-time recovery. May be repeated.
///
/// # Errors
/// `Unavailable` with a sentence for the operator: not permitted, not reached, or a table of another form is in the way.
pub async fn init_tables(options: &DynamoOptions) -> Result<Report> {
    let table = DynamoTable::open(options).await;
    let mut report = Report::default();
    for name in table.names.iter() {
        let setup = Setup {
            table: &table,
            name,
        };
        let outcome = setup.create().await?;
        report.add(format!("table {name}"), outcome);
        report.add(format!("table {name}: expiry"), setup.expiry().await?);
        if options.point_in_time_recovery {
            let outcome = setup.recovery().await?;
            report.add(format!("table {name}: point-in-time recovery"), outcome);
        }
    }
    Ok(report)
}

/// Whether the tables are there, of the right form, and may be read and written. Changes nothing.
///
/// # Errors
/// `Unavailable` with one sentence that names the table, what is wrong, and what helps.
pub async fn check_tables(options: &DynamoOptions) -> Result<()> {
    let table = DynamoTable::open(options).await;
    for name in table.names.iter() {
        let setup = Setup {
            table: &table,
            name,
        };
        match setup.describe().await? {
            Some(found) => setup.check_form(&found)?,
            None => {
                return Err(refusal(format!(
                    "DynamoDB table {name} does not exist; `starling init` creates it"
                )));
            }
        }
        setup.check_permissions().await?;
    }
    Ok(())
}

/// Work on one table.
pub(super) struct Setup<'a> {
    table: &'a DynamoTable,
    pub(super) name: &'a str,
}

/// What the service says to what it does not know.
const UNKNOWN: [&str; 3] = [
    "UnknownOperationException",
    "UnsupportedOperation",
    "NotImplemented",
];

impl Setup<'_> {
    pub(super) fn client(&self) -> &Client {
        &self.table.client
    }

    fn what(&self) -> String {
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

    async fn create(&self) -> Result<Outcome> {
        if let Some(found) = self.describe().await? {
            self.check_form(&found)?;
            return Ok(Outcome::Present);
        }
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
                Err(error) if is_code(&error, &["ResourceInUseException"]) => Ok(()),
                Err(error) => Err(self.failure("dynamodb:CreateTable", error)),
                Ok(_) => Ok(()),
            }
        })
        .await?;
        self.wait_until_active().await?;
        Ok(Outcome::Done)
    }

    async fn wait_until_active(&self) -> Result<()> {
        let wait = async {
            loop {
                let found = self.describe().await?;
                let status = found.and_then(|found| found.table_status);
                if status == Some(TableStatus::Active) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let late = |_| {
            refusal(format!(
                "{} was asked for and is still not there",
                self.what()
            ))
        };
        tokio::time::timeout(CREATION, wait).await.map_err(late)?
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

    async fn expiry(&self) -> Result<Outcome> {
        let found = self
            .ask(|| async {
                let described = self.client().describe_time_to_live();
                let described = described.table_name(self.name).send().await;
                described.map_err(|error| self.failure("dynamodb:DescribeTimeToLive", error))
            })
            .await?;
        let found = found.time_to_live_description;
        let on = found.as_ref().is_some_and(|found| {
            matches!(
                found.time_to_live_status(),
                Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
            )
        });
        let attribute = found.and_then(|found| found.attribute_name);
        match attribute {
            Some(attribute) if on && attribute == EXPIRES => return Ok(Outcome::Present),
            Some(attribute) if on => {
                return Err(refusal(format!(
                    "{} expires by the attribute {attribute}, not by {EXPIRES}",
                    self.what()
                )));
            }
            _ => {}
        }
        self.ask(|| async {
            let expiry = TimeToLiveSpecification::builder()
                .enabled(true)
                .attribute_name(EXPIRES)
                .build()
                .map_err(|error| Failure::unexpected(self.name, error.to_string()))?;
            let set = self.client().update_time_to_live();
            let set = set.table_name(self.name).time_to_live_specification(expiry);
            let set = set.send().await;
            set.map_err(|error| self.failure("dynamodb:UpdateTimeToLive", error))
        })
        .await?;
        Ok(Outcome::Done)
    }

    async fn recovery(&self) -> Result<Outcome> {
        let skipped = || Outcome::Skipped("this endpoint does not know it".into());
        let known = self
            .ask(|| async {
                let described = self.client().describe_continuous_backups();
                match described.table_name(self.name).send().await {
                    Ok(found) => Ok(Some(found.continuous_backups_description)),
                    Err(error) if is_code(&error, &UNKNOWN) => Ok(None),
                    Err(error) => Err(self.failure("dynamodb:DescribeContinuousBackups", error)),
                }
            })
            .await?;
        let Some(found) = known else {
            return Ok(skipped());
        };
        let status = found
            .and_then(|found| found.point_in_time_recovery_description)
            .and_then(|found| found.point_in_time_recovery_status);
        if status == Some(PointInTimeRecoveryStatus::Enabled) {
            return Ok(Outcome::Present);
        }
        self.ask(|| async {
            let recovery = PointInTimeRecoverySpecification::builder()
                .point_in_time_recovery_enabled(true)
                .build()
                .map_err(|error| Failure::unexpected(self.name, error.to_string()))?;
            let set = self.client().update_continuous_backups();
            let set = set.table_name(self.name);
            match set
                .point_in_time_recovery_specification(recovery)
                .send()
                .await
            {
                Ok(_) => Ok(Outcome::Done),
                Err(error) if is_code(&error, &UNKNOWN) => Ok(skipped()),
                Err(error) => Err(self.failure("dynamodb:UpdateContinuousBackups", error)),
            }
        })
        .await
    }
}

pub(super) fn is_code<E: ProvideErrorMetadata>(error: &SdkError<E>, codes: &[&str]) -> bool {
    let code = error.as_service_error().and_then(|error| error.code());
    code.is_some_and(|code| codes.contains(&code))
}
