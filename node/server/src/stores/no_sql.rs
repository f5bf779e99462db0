//! In a build without databases: says so.

use storage::{Place, Result};

use super::unknown;
use crate::config::SqlStore;

pub(super) async fn open(_: &SqlStore) -> Result<Place> {
    Err(unknown("databases", "sql"))
}

pub(super) async fn init(_: &SqlStore) -> Result<Vec<String>> {
    Err(unknown("databases", "sql"))
}
