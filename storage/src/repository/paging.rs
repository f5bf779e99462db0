//! Walking through a partition page by page.

use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind, Result},
    key,
    shape::{Batch, Condition, Key, Page, Query, Record, Space, Table},
};

/// Asks for a page and turns the query to the next one; whether there may be one.
pub(crate) async fn next_page(table: &dyn Table, query: &mut Query) -> Result<(Vec<Record>, bool)> {
    let Page { records, more } = table.query(query).await?;
    match records.last() {
        Some(last) if query.reverse => query.until = Some(last.sort.clone()),
        Some(last) => query.from = Some(key::successor(&last.sort)),
        // It must not read as the end.
        None if more => {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "an empty page that is not the last",
            ));
        }
        None => {}
    }
    Ok((records, more))
}

/// At most `limit` records, however many pages it takes.
pub(crate) async fn collect(
    table: &dyn Table,
    mut query: Query,
    limit: usize,
) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    while all.len() < limit {
        query.limit = limit - all.len();
        let (records, more) = next_page(table, &mut query).await?;
        all.extend(records);
        if !more {
            break;
        }
    }
    Ok(all)
}

/// Removes these records of a partition, at most [`Batch::MAX`], in one batch.
pub(crate) async fn delete_all(
    table: &dyn Table,
    space: Space,
    partition: &Bytes,
    records: Vec<Record>,
) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let key = |sort| Key {
        space,
        partition: partition.clone(),
        sort,
    };
    let batch = records.into_iter().fold(Batch::new(), |batch, record| {
        batch.delete(key(record.sort), Condition::Any)
    });
    table.write(batch).await
}
