//! In a build without databases: says so.

use storage::Result;

use super::{Place, unknown};
use crate::config::SqlStore;

pub(super) async fn open(_: &SqlStore) -> Result<Place> {
    Err(unknown("databases", "sql"))
}

pub(super) async fn init(_: &SqlStore) -> Result<Vec<String>> {
    Err(unknown("databases", "sql"))
}
