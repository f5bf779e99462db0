//! The stores of a node, for commands that work on them themselves.

use storage::{ErrorKind, Stores};
use tokio::runtime::Runtime;

use super::{FAILED, Failure};
use crate::{
    config::{Config, Store},
    stores::{self, Opened},
};

/// Opens what is configured, and the runtime it works on. `hint` is told when another process has it open.
pub(super) fn open(config: &Config, hint: &str) -> Result<(Runtime, Stores), Failure> {
    let (runtime, opened) = open_all(config, hint)?;
    Ok((runtime, opened.stores))
}

/// The same with the table that keeps what is the node's own.
pub(super) fn open_all(config: &Config, hint: &str) -> Result<(Runtime, Opened), Failure> {
    if config.storage.main == Store::Memory {
        let message = "starling: memory holds nothing without a node";
        return Err(Failure::new(FAILED, message));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let opened = runtime.block_on(stores::open(config, None));
    let opened = opened.map_err(|error| match (error.kind(), &config.storage.main) {
        (ErrorKind::Unavailable, Store::Embedded { path, .. }) => {
            let message = format!("starling: {}: {error}; {hint}", path.display());
            Failure::new(FAILED, message)
        }
        _ => error.into(),
    })?;
    Ok((runtime, opened))
}
