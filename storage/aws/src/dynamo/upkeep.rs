//! What is set on a table: expiry, and point-in-time recovery. Both take a while after a table was made, and may be set by
//! several at once.
//!
//! Source: `UpdateTimeToLive`, `UpdateContinuousBackups` in the API reference of DynamoDB 2012-08-10.

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    types::{
        PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, TimeToLiveSpecification,
        TimeToLiveStatus,
    },
};
use storage::Result;

use super::{
    item::EXPIRES,
    setup::{Setup, is_code},
};
use crate::{
    failure::Failure,
    setup::{Outcome, Tell, refusal},
};

/// What the service says to what it does not know.
const UNKNOWN: [&str; 3] = [
    "UnknownOperationException",
    "UnsupportedOperation",
    "NotImplemented",
];
/// What it says while it, or another, is still at work on the table. A table that was just made has no backups yet, and
/// some hosts have not heard of it.
const NOT_YET: [&str; 5] = [
    "ContinuousBackupsUnavailableException",
    "ResourceInUseException",
    "TableInUseException",
    "TableNotFoundException",
    "ResourceNotFoundException",
];

/// How a table expires.
pub(super) enum Expiry {
    Ours,
    /// By an attribute that is not ours.
    Other(String),
    /// It is being turned off, or cannot be asked for yet.
    Changing,
    Off,
}

impl Setup<'_> {
    async fn expiry(&self) -> Result<Expiry> {
        let found = self
            .ask(|| async {
                let described = self.client().describe_time_to_live();
                match described.table_name(self.name).send().await {
                    Ok(found) => Ok(Some(found.time_to_live_description)),
                    Err(error) if is_code(&error, &NOT_YET) => Ok(None),
                    Err(error) => Err(self.failure("dynamodb:DescribeTimeToLive", error)),
                }
            })
            .await?;
        let Some(found) = found else {
            return Ok(Expiry::Changing);
        };
        let status = found
            .as_ref()
            .and_then(|found| found.time_to_live_status().cloned());
        let attribute = found.and_then(|found| found.attribute_name);
        Ok(match status {
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling) => match attribute {
                Some(other) if other != EXPIRES => Expiry::Other(other),
                _ => Expiry::Ours,
            },
            Some(TimeToLiveStatus::Disabling) => Expiry::Changing,
            _ => Expiry::Off,
        })
    }

    fn expires_otherwise(&self, attribute: &str) -> storage::Error {
        let table = self.name;
        refusal(format!(
            "{} expires by the attribute {attribute}, not by {EXPIRES}: turn that off (`aws dynamodb update-time-to-live \
             --table-name {table} --time-to-live-specification Enabled=false,AttributeName={attribute}`), and run \
             `starling init` again an hour later, for it may be changed once an hour",
            self.what()
        ))
    }

    /// A warning if nothing expires, or if that cannot be known.
    ///
    /// # Errors
    /// It expires by another attribute: DynamoDB may remove what is to stay.
    pub(super) async fn check_expiry(&self) -> Result<Option<String>> {
        Ok(match self.expiry().await {
            Ok(Expiry::Ours | Expiry::Changing) => None,
            Ok(Expiry::Other(attribute)) => return Err(self.expires_otherwise(&attribute)),
            Ok(Expiry::Off) => Some(format!(
                "{} never removes what has expired, and grows; `starling init` turns expiry on",
                self.what()
            )),
            Err(error) => Some(format!("{error}; whether it expires is not known")),
        })
    }

    pub(super) async fn set_expiry(&self, tell: Tell<'_>) -> Result<Outcome> {
        let set = || async {
            match self.expiry().await? {
                Expiry::Ours => Ok(Some(Outcome::Present)),
                Expiry::Other(attribute) => Err(self.expires_otherwise(&attribute)),
                Expiry::Changing => Ok(None),
                Expiry::Off => self.turn_expiry_on().await,
            }
        };
        self.wait("until its expiry can be set", tell, set).await
    }

    /// `None`: not yet.
    async fn turn_expiry_on(&self) -> Result<Option<Outcome>> {
        self.ask(|| async {
            let expiry = TimeToLiveSpecification::builder()
                .enabled(true)
                .attribute_name(EXPIRES)
                .build()
                .map_err(|error| Failure::unexpected(self.name, error.to_string()))?;
            let set = self.client().update_time_to_live();
            let set = set.table_name(self.name).time_to_live_specification(expiry);
            match set.send().await {
                Ok(_) => Ok(Some(Outcome::Done)),
                Err(error) if is_code(&error, &NOT_YET) || is_enabled_already(&error) => Ok(None),
                Err(error) => Err(self.failure("dynamodb:UpdateTimeToLive", error)),
            }
        })
        .await
    }

    pub(super) async fn set_recovery(&self, tell: Tell<'_>) -> Result<Outcome> {
        let set = || async {
            match self.recovery().await? {
                Recovery::On => Ok(Some(Outcome::Present)),
                Recovery::Unknown => Ok(Some(skipped())),
                Recovery::NotYet => Ok(None),
                Recovery::Off => self.turn_recovery_on().await,
            }
        };
        let until = "until DynamoDB can turn on its point-in-time recovery";
        self.wait(until, tell, set).await
    }

    async fn recovery(&self) -> Result<Recovery> {
        self.ask(|| async {
            let described = self.client().describe_continuous_backups();
            let found = match described.table_name(self.name).send().await {
                Ok(found) => found.continuous_backups_description,
                Err(error) if is_code(&error, &UNKNOWN) => return Ok(Recovery::Unknown),
                Err(error) if is_code(&error, &NOT_YET) => return Ok(Recovery::NotYet),
                Err(error) => {
                    return Err(self.failure("dynamodb:DescribeContinuousBackups", error));
                }
            };
            let status = found
                .and_then(|found| found.point_in_time_recovery_description)
                .and_then(|found| found.point_in_time_recovery_status);
            Ok(match status {
                Some(PointInTimeRecoveryStatus::Enabled) => Recovery::On,
                _ => Recovery::Off,
            })
        })
        .await
    }

    /// `None`: not yet.
    async fn turn_recovery_on(&self) -> Result<Option<Outcome>> {
        self.ask(|| async {
            let recovery = PointInTimeRecoverySpecification::builder()
                .point_in_time_recovery_enabled(true)
                .build()
                .map_err(|error| Failure::unexpected(self.name, error.to_string()))?;
            let set = self.client().update_continuous_backups();
            let set = set.table_name(self.name);
            let set = set.point_in_time_recovery_specification(recovery);
            match set.send().await {
                Ok(_) => Ok(Some(Outcome::Done)),
                Err(error) if is_code(&error, &UNKNOWN) => Ok(Some(skipped())),
                Err(error) if is_code(&error, &NOT_YET) => Ok(None),
                Err(error) => Err(self.failure("dynamodb:UpdateContinuousBackups", error)),
            }
        })
        .await
    }
}

enum Recovery {
    On,
    Off,
    NotYet,
    /// The endpoint does not know what that is.
    Unknown,
}

fn skipped() -> Outcome {
    Outcome::Skipped("this endpoint does not know it".into())
}

/// Another was faster. The service has no code of its own for it.
fn is_enabled_already<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let message = error.as_service_error().and_then(|error| error.message());
    is_code(error, &["ValidationException"])
        && message.is_some_and(|message| message.contains("already enabled"))
}
