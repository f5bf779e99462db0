//! The store of the model, whose answers get lost.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    servers::{at_once, step},
    world::World,
};
use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Consistency, Key, Operation, Page, Query, Record, Space, Table},
};

/// The store, as all nodes see it.
pub(super) struct Store(pub(super) Arc<World>);

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the answer was lost")
}

#[async_trait]
impl Table for Store {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        assert_eq!(
            consistency,
            Consistency::Strong,
            "the cache is filled with what is"
        );
        step().await;
        let found = at_once(self.0.table.get(key, consistency))?;
        step().await;
        if self.0.chance(40) {
            Err(lost())
        } else {
            Ok(found)
        }
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        step().await;
        if self.0.chance(40) {
            return Err(Error::new(ErrorKind::Throttled, "not now"));
        }
        step().await;
        at_once(self.0.table.write(batch.clone()))?;
        self.0.commit(&batch);
        let repeats = self.0.chance(20) && batch.operations.iter().any(is_conditional);
        // A library asks again after a lost answer, and meets its own write.
        let answer = if repeats {
            at_once(self.0.table.write(batch))
        } else {
            Ok(())
        };
        step().await;
        if self.0.chance(20) {
            Err(lost())
        } else {
            answer
        }
    }

    async fn query(&self, _: &Query) -> Result<Page> {
        unreachable!("not cached")
    }
    fn trouble(&self) -> Option<Error> {
        None
    }
    async fn partitions(&self, _: Space, _: Option<&[u8]>, _: usize) -> Result<Vec<Bytes>> {
        unreachable!("not cached")
    }
}

fn is_conditional(operation: &Operation) -> bool {
    use crate::shape::Condition::{Absent, Version};
    matches!(operation.condition(), Absent | Version(_))
}
