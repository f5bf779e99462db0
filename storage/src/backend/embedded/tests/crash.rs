//! Kill -9 in the middle of writes: what was answered is there, whole; nothing is there by half.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
};

use tokio::task::JoinSet;

use super::{open, small};
use crate::{
    backend::embedded::{Embedded, EmbeddedOptions},
    shape::{Batch, Condition, Consistency, Key, Space, Table},
};

const DIRECTORY: &str = "STARLING_TEST_CRASH_DIRECTORY";
const FIRST: &str = "STARLING_TEST_CRASH_FIRST";
const ROUNDS: u64 = 6;
/// Batches of a round are numbered from its number times this.
const PER_ROUND: u64 = 1_000_000;

/// The keys of a batch lie in different spaces and partitions.
fn keys(batch: u64) -> Vec<Key> {
    let spaces = [Space::Core, Space::Log, Space::Idx, Space::Ctl, Space::Log];
    let key = |(n, space): (usize, Space)| Key {
        space,
        partition: format!("{n}#{}", batch % 17).into(),
        sort: batch.to_be_bytes().to_vec().into(),
    };
    spaces.into_iter().enumerate().map(key).collect()
}

fn value(batch: u64) -> Vec<u8> {
    batch
        .to_string()
        .repeat(1 + batch as usize % 100)
        .into_bytes()
}

/// Not a test by itself: what the test below starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the child of the test below"]
async fn child() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else {
        return;
    };
    let first: u64 = first.parse().unwrap();
    let store = Arc::new(
        Embedded::open(
            directory,
            EmbeddedOptions {
                sync: true,
                ..small()
            },
        )
        .unwrap(),
    );
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let store = store.clone();
        writers.spawn(async move {
            for batch in (first + writer..first + PER_ROUND).step_by(16) {
                let put = |puts: Batch, key| puts.put(key, value(batch), Condition::Absent);
                store
                    .write(keys(batch).into_iter().fold(Batch::new(), put))
                    .await
                    .unwrap();
                let mut out = std::io::stdout().lock();
                out.write_all(format!("answered {batch}\n").as_bytes())
                    .unwrap();
                out.flush().unwrap();
            }
        });
    }
    writers.join_all().await;
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut answered = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--ignored",
                "--nocapture",
                "backend::embedded::tests::crash::child",
            ])
            .env(DIRECTORY, directory.path())
            .env(FIRST, (round * PER_ROUND).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut this_round = Vec::new();
        let mut note = |line: String| {
            // The test's own words may stand before the first answer.
            let number = line
                .split("answered ")
                .nth(1)
                .and_then(|number| number.parse::<u64>().ok());
            this_round.extend(number);
            this_round.len() as u64
        };
        for line in lines.by_ref() {
            if note(line) >= 100 + 150 * round {
                break;
            }
        }
        child.kill().unwrap();
        for line in lines {
            note(line);
        }
        child.wait().unwrap();
        assert!(
            this_round.len() as u64 >= 100 + 150 * round,
            "the child ended by itself"
        );
        answered.extend(&this_round);

        let store = open(directory.path(), small());
        for &batch in &answered {
            assert_eq!(
                found(&store, batch).await,
                keys(batch).len(),
                "batch {batch} was answered"
            );
        }
        let last = this_round.iter().max().unwrap();
        for batch in round * PER_ROUND..last + 64 {
            let found = found(&store, batch).await;
            assert!(
                found == 0 || found == keys(batch).len(),
                "{found} records of batch {batch}"
            );
        }
    }
}

/// How many records of a batch are there; they are as they were written.
async fn found(store: &Embedded, batch: u64) -> usize {
    let mut count = 0;
    for key in keys(batch) {
        if let Some(record) = store.get(&key, Consistency::Strong).await.unwrap() {
            assert_eq!((record.value, record.version), (value(batch).into(), 1));
            count += 1;
        }
    }
    count
}
