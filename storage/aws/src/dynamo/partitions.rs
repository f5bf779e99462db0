//! Partitions: a scan that skips from one to the next.
//!
//! A scan goes by the hash of the partition key and within a partition by sort key. So a scan that begins after the
//! highest sort key there can be goes on with the next partition, and a long log costs a page instead of all of it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use storage::{Result, backend::rule, shape::Space};

use super::{
    CAPACITY, DynamoTable,
    item::{EXPIRES, Item, PARTITION, SORT, primary_key},
};
use crate::{failure::Failure, tally::Tally};

/// Items looked at before skipping: a small account fits, so that several partitions are found by a request.
const LOOK: i32 = 16;

impl DynamoTable {
    pub(super) async fn scan(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
        tally: &Tally,
    ) -> Result<Vec<Bytes>> {
        let after = after.filter(|after| !after.is_empty());
        let mut start = after.map(|after| end_of(&Bytes::copy_from_slice(after)));
        let mut found: Vec<Bytes> = Vec::new();
        loop {
            let (items, next) = self.look(space, start, tally).await?;
            let mut last = None;
            for item in items {
                let Some(partition) = bytes(&item, PARTITION) else {
                    continue;
                };
                let live = is_live(&item, self.clock.seconds());
                if live && found.last() != Some(&partition) {
                    if found.len() == limit {
                        return Ok(found);
                    }
                    found.push(partition.clone());
                }
                last = Some(partition);
            }
            let Some(next) = next else { return Ok(found) };
            // Beyond a partition that was found; one of which all so far has expired must be gone through.
            start = Some(match last.filter(|last| found.last() == Some(last)) {
                Some(last) => end_of(&last),
                None => next,
            });
        }
    }

    async fn look(
        &self,
        space: Space,
        start: Option<Item>,
        tally: &Tally,
    ) -> Result<(Vec<Item>, Option<Item>)> {
        let what = self.what(space);
        let found = self
            .read(tally, || async {
                self.client
                    .scan()
                    .table_name(self.names.of(space))
                    .projection_expression(format!("{PARTITION}, {EXPIRES}"))
                    .consistent_read(true)
                    .limit(LOOK)
                    .set_exclusive_start_key(start.clone())
                    .return_consumed_capacity(CAPACITY)
                    .customize()
                    .interceptor(tally.counting())
                    .send()
                    .await
                    .map_err(|error| Failure::of(&what, error))
            })
            .await?;
        tally.read(found.consumed_capacity());
        let next = found.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((found.items.unwrap_or_default(), next))
    }
}

/// The highest key that a partition can have.
fn end_of(partition: &Bytes) -> Item {
    let highest = Bytes::from(vec![0xff; rule::MAX_SORT]);
    let key: HashMap<_, _> = primary_key(partition, &highest);
    debug_assert!(key.contains_key(SORT));
    key
}

fn bytes(item: &Item, name: &str) -> Option<Bytes> {
    match item.get(name) {
        Some(AttributeValue::B(bytes)) => Some(Bytes::copy_from_slice(bytes.as_ref())),
        _ => None,
    }
}

fn is_live(item: &Item, now: u64) -> bool {
    let expires = match item.get(EXPIRES) {
        Some(AttributeValue::N(number)) => number.parse().ok(),
        _ => None,
    };
    rule::is_live(expires, now)
}
