//! In a build without DynamoDB and S3: says so.

use storage::{Place, Result};

use super::{Tell, Watching, unknown};
use crate::config::DynamoDbStore;

pub(super) async fn open(_: &DynamoDbStore, _: Option<&Watching>) -> Result<Place> {
    Err(unknown("DynamoDB", "aws"))
}

pub(super) async fn init(_: &DynamoDbStore, _: Tell<'_>) -> Result<()> {
    Err(unknown("DynamoDB", "aws"))
}
