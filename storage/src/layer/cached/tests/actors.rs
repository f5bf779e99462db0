//! What nodes of the model do: each looks at what it gets and says what it knows from then on.

use std::sync::Arc;

use super::world::{Level, World, key_of, value_of};
use crate::{
    clock::Clock,
    error::ErrorKind,
    layer::cached::Cached,
    shape::{Batch, Condition, Consistency, Table},
};

pub(super) async fn read(world: Arc<World>, table: Arc<Cached>, node: usize, which: usize) {
    let (floor, began) = (world.floor(node, which), world.clock.now());
    let Ok(found) = table.get(&key_of(which), Consistency::Cached).await else {
        return;
    };
    let value = value_of(found.as_ref());
    let index = world.judge(node, which, value, floor, began);
    if let Some(index) = index
        && world.level == Level::Deaths
    {
        // What one has seen, all see from then on.
        world.raise(node, which, value, index, true);
    }
}

pub(super) async fn read_strongly(
    world: Arc<World>,
    table: Arc<Cached>,
    node: usize,
    which: usize,
) {
    let since = world.last(which);
    let Ok(found) = table.get(&key_of(which), Consistency::Strong).await else {
        return;
    };
    let all = world.level == Level::Deaths;
    world.raise(node, which, value_of(found.as_ref()), since, all);
}

/// Reads, from the cache or not, and changes what was found; after a conflict once more.
pub(super) async fn write(world: Arc<World>, table: Arc<Cached>, node: usize, keys: Vec<usize>) {
    for _ in 0..2 {
        let since: Vec<usize> = keys.iter().map(|which| world.last(*which)).collect();
        let mut batch = Batch::new();
        let mut written = Vec::new();
        for which in &keys {
            let consistency = match world.random.next() % 3 {
                0 => Consistency::Strong,
                _ => Consistency::Cached,
            };
            let key = key_of(*which);
            let Ok(found) = table.get(&key, consistency).await else {
                return;
            };
            let seen = found.as_ref().map(|record| record.version);
            let exactly = seen.map_or(Condition::Absent, Condition::Version);
            let deletes = seen.is_some() && world.chance(5);
            let condition = if world.chance(6) {
                Condition::Any
            } else {
                exactly
            };
            if deletes {
                written.push(None);
                batch = batch.delete(key, condition);
            } else {
                let value = world.fresh_value();
                written.push(Some(u64::from_be_bytes(
                    value[..8].try_into().expect("8 bytes"),
                )));
                batch = batch.put(key, value, condition);
            }
        }
        let result = table.write(batch).await;
        let error = match result {
            Ok(()) => {
                for ((which, value), since) in keys.iter().zip(written).zip(since) {
                    world.raise(node, *which, value, since, true);
                }
                return;
            }
            Err(error) => error,
        };
        let Some(at) = error.conflict_at() else {
            return;
        };
        assert_eq!(error.kind(), ErrorKind::Conflict);
        // What stood in the way was seen: the next read gives that or what came after it.
        let which = keys[at.index];
        world.raise(
            node,
            which,
            value_of(at.current.as_ref()),
            since[at.index],
            false,
        );
    }
}
