//! In a build without directories and services: no configuration names one.

use storage::{Layout, Result};

use crate::config::Storage;

/// The outside systems: none.
#[derive(Default)]
pub(super) struct Systems;

impl Systems {
    pub(super) fn lay_out(&mut self, _: &mut Layout, _: &Storage, _: &str) -> Result<()> {
        Ok(())
    }
}
