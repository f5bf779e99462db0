//! Any sequence of batches, reads and restarts is answered as the table in memory answers it.

use std::sync::Arc;

use proptest::prelude::*;

use super::{open, small};
use crate::{
    backend::{embedded::EmbeddedOptions, memory::MemoryTable},
    shape::{Batch, Condition, Consistency, Key, Operation, Query, Space, Table},
};

#[derive(Debug, Clone)]
enum Step {
    Write(Batch),
    Query(Query),
    Restart,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 0xff]), 0..3)
}

fn any_key() -> impl Strategy<Value = Key> {
    let space = prop::sample::select(vec![Space::Core, Space::Log]);
    (space, name(), name()).prop_map(|(space, partition, sort)| Key {
        space,
        partition: partition.into(),
        sort: sort.into(),
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let condition = prop_oneof![
        8 => Just(Condition::Any),
        2 => Just(Condition::Absent),
        2 => Just(Condition::Exists),
        1 => (1..4u64).prop_map(Condition::Version),
    ];
    (any_key(), condition, 0..4, 0..600usize).prop_map(|(key, condition, kind, size)| match kind {
        0 => Operation::Delete { key, condition },
        1 => Operation::Check { key, condition },
        _ => Operation::Put {
            key,
            value: vec![size as u8; size].into(),
            condition,
            expires: None,
        },
    })
}

fn step() -> impl Strategy<Value = Step> {
    let batch = prop::collection::vec(operation(), 1..6)
        .prop_map(|operations| Step::Write(Batch { operations }));
    let query = (
        any_key(),
        prop::option::of(name()),
        prop::option::of(name()),
        any::<bool>(),
        1..10usize,
    )
        .prop_map(|(key, from, until, reverse, limit)| {
            Step::Query(Query {
                space: key.space,
                partition: key.partition,
                from: from.map(Into::into),
                until: until.map(Into::into),
                reverse,
                limit,
                consistency: Consistency::Strong,
            })
        });
    prop_oneof![20 => batch, 6 => query, 1 => Just(Step::Restart)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_memory_does(steps in prop::collection::vec(step(), 1..150)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let options = || EmbeddedOptions { memtable_bytes: 2 << 10, cache_bytes: 4 << 10, ..small() };
            let model = MemoryTable::new();
            let mut store = Some(open(directory.path(), options()));
            for step in steps {
                let table: &dyn Table = store.as_ref().expect("it is always opened again");
                match step {
                    Step::Write(batch) => {
                        let expected = model.write(batch.clone()).await.map_err(|e| (e.kind(), e.conflict_at().cloned()));
                        let found = table.write(batch).await.map_err(|e| (e.kind(), e.conflict_at().cloned()));
                        assert_eq!(found, expected);
                    }
                    Step::Query(query) => {
                        assert_eq!(table.query(&query).await.unwrap(), model.query(&query).await.unwrap());
                    }
                    Step::Restart => {
                        drop(store.take());
                        store = Some(open(directory.path(), options()));
                    }
                }
            }
            let store: Arc<dyn Table> = Arc::new(store.expect("it is open"));
            for space in [Space::Core, Space::Log] {
                let expected = model.partitions(space, None, 1000).await.unwrap();
                assert_eq!(store.partitions(space, None, 1000).await.unwrap(), expected);
            }
        });
    }
}
