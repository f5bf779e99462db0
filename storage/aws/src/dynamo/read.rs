//! Reads: one item, or a page of a partition.
//!
//! DynamoDB takes one condition on the sort key, and its upper bounds are inclusive. Forwards a record at the exclusive
//! end is read and dropped; backwards the page begins beyond it (`ExclusiveStartKey`). A page of DynamoDB ends after
//! 1 MB or the limit, expired items included, so a page of ours may be shorter than asked for, but never empty unless it
//! is the last.

use aws_sdk_dynamodb::{Client, operation::query::builders::QueryFluentBuilder};
use bytes::Bytes;
use storage::{
    Result,
    shape::{Consistency, Key, Page, Query, Record},
};

use super::{
    CAPACITY, DynamoTable,
    item::{self, Item},
};
use crate::{failure::Failure, tally::Tally};

/// Items asked for after a page of which all had expired, however few are wanted.
const AT_LEAST: usize = 100;
/// DynamoDB takes no larger limit.
const AT_MOST: usize = 1 << 20;

impl DynamoTable {
    pub(super) async fn find(
        &self,
        key: &Key,
        consistency: Consistency,
        tally: &Tally,
    ) -> Result<Option<Record>> {
        if key.partition.is_empty() || key.sort.is_empty() {
            // No such key can be written.
            return Ok(None);
        }
        let what = self.what(key.space);
        let found = self
            .read(tally, || async {
                self.client
                    .get_item()
                    .table_name(self.names.of(key.space))
                    .set_key(Some(item::primary_key(&key.partition, &key.sort)))
                    .consistent_read(consistency.is_strong())
                    .return_consumed_capacity(CAPACITY)
                    .customize()
                    .interceptor(tally.counting())
                    .send()
                    .await
                    .map_err(|error| Failure::of(&what, error))
            })
            .await?;
        tally.read(found.consumed_capacity());
        let stored = found.item.map(item::read).transpose()?;
        let now = self.clock.seconds();
        Ok(stored.and_then(|stored| stored.live(now)))
    }

    pub(super) async fn page(&self, query: &Query, tally: &Tally) -> Result<Page> {
        let Some(range) = Range::of(query) else {
            let records = Vec::new();
            return Ok(Page {
                records,
                more: false,
            });
        };
        let wanted = query.limit.max(1);
        let (mut limit, mut start) = (wanted, range.start.clone());
        loop {
            let found = self.ask_page(query, &range, limit, start, tally).await?;
            let mut records = Vec::new();
            let now = self.clock.seconds();
            for item in found.0 {
                let record = item::read(item)?.live(now);
                records.extend(record.filter(|record| Some(&record.sort) != query.until.as_ref()));
            }
            let cut = records.len() > wanted;
            records.truncate(wanted);
            start = found.1;
            if !records.is_empty() || start.is_none() {
                return Ok(Page {
                    more: cut || start.is_some(),
                    records,
                });
            }
            limit = limit.max(AT_LEAST);
        }
    }

    async fn ask_page(
        &self,
        query: &Query,
        range: &Range,
        limit: usize,
        start: Option<Item>,
        tally: &Tally,
    ) -> Result<(Vec<Item>, Option<Item>)> {
        let what = self.what(query.space);
        let limit = i32::try_from(limit.min(AT_MOST)).unwrap_or(i32::MAX);
        let found = self
            .read(tally, || async {
                range
                    .put_to(&self.client, &query.partition)
                    .table_name(self.names.of(query.space))
                    .consistent_read(query.consistency.is_strong())
                    .scan_index_forward(!query.reverse)
                    .limit(limit)
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

/// A range as DynamoDB takes it.
#[derive(Debug)]
struct Range {
    from: Option<Bytes>,
    until: Option<Bytes>,
    start: Option<Item>,
}

impl Range {
    /// `None`: nothing can be in it.
    fn of(query: &Query) -> Option<Self> {
        // An empty bound is none: no sort key is empty.
        let from = query.from.clone().filter(|from| !from.is_empty());
        let until = query.until.clone();
        let nothing = match (&from, &until) {
            (_, Some(until)) if until.is_empty() => true,
            (Some(from), Some(until)) => from >= until,
            _ => false,
        };
        if nothing || query.partition.is_empty() {
            return None;
        }
        Some(match until {
            Some(until) if query.reverse => Self {
                from,
                start: Some(item::primary_key(&query.partition, &until)),
                until: None,
            },
            until => Self {
                from,
                until,
                start: None,
            },
        })
    }

    fn put_to(&self, client: &Client, partition: &Bytes) -> QueryFluentBuilder {
        let condition = match (&self.from, &self.until) {
            (None, None) => "p = :p",
            (Some(_), None) => "p = :p AND s >= :from",
            (None, Some(_)) => "p = :p AND s < :until",
            (Some(_), Some(_)) => "p = :p AND s BETWEEN :from AND :until",
        };
        let mut query = client
            .query()
            .key_condition_expression(condition)
            .expression_attribute_values(":p", item::binary(partition));
        for (name, bound) in [(":from", &self.from), (":until", &self.until)] {
            if let Some(bound) = bound {
                query = query.expression_attribute_values(name, item::binary(bound));
            }
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use storage::shape::Space;

    use super::*;

    fn check(
        from: Option<&'static str>,
        until: Option<&'static str>,
        reverse: bool,
        expected: &str,
    ) {
        let query = Query {
            space: Space::Core,
            partition: "p".into(),
            from: from.map(Bytes::from),
            until: until.map(Bytes::from),
            reverse,
            limit: 1,
            consistency: Consistency::Strong,
        };
        let text = Range::of(&query).map_or("nothing".to_owned(), |range| {
            let bound = |bound: Option<Bytes>| {
                bound.map_or("-".to_owned(), |bound| {
                    String::from_utf8_lossy(&bound).into_owned()
                })
            };
            let start = if range.start.is_some() {
                " from its end"
            } else {
                ""
            };
            format!("{}..{}{start}", bound(range.from), bound(range.until))
        });
        assert_eq!(text, expected, "{from:?} {until:?} {reverse}");
    }

    #[test]
    fn ranges_become_what_dynamo_takes() {
        check(None, None, false, "-..-");
        check(Some(""), None, false, "-..-");
        check(Some("a"), None, true, "a..-");
        check(Some("a"), Some("b"), false, "a..b");
        check(Some("a"), Some("b"), true, "a..- from its end");
        check(None, Some("b"), true, "-..- from its end");
        check(None, Some(""), false, "nothing");
        check(Some("b"), Some("b"), false, "nothing");
        check(Some("b"), Some("a"), true, "nothing");
    }
}
