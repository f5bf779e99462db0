//! Rows over what fails, and what must never be printed.

use std::{fmt::Debug, sync::Arc, time::Duration};

use super::*;
use crate::{
    backend::memory::MemoryTable,
    error::ErrorKind,
    layer::{
        Call, Faulty, Switchboard,
        faulty::{Fault, Target, When},
    },
    repository::record,
    shape::{Batch, Condition},
};

fn faulty() -> (Arc<Switchboard>, Arc<dyn Table>) {
    let switchboard = Switchboard::new(1);
    let table = Faulty::new(Arc::new(MemoryTable::new()), switchboard.clone());
    (switchboard, Arc::new(table))
}

fn row(beat: u64) -> FounderRow {
    FounderRow {
        generation: 1,
        founder: 7,
        beat,
    }
}

async fn put(table: &dyn Table, key: Key, value: &[u8]) {
    let sealed = record::seal(value, 1).unwrap();
    let batch = Batch::new().put(key, sealed, Condition::Any);
    table.write(batch).await.unwrap();
}

#[tokio::test]
async fn a_swap_whose_answer_is_lost_is_found_by_who_reads() {
    let (switchboard, table) = faulty();
    let control = Control::new(table, "c");
    assert!(control.swap_founder(None, row(0)).await.unwrap());
    let is_write = |target: &Target<'_>| target.call == Call::Write;
    switchboard.add(is_write, When::Sequence([true].into()), Fault::LoseAnswer);
    let lost = control.swap_founder(Some(row(0)), row(1)).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unavailable);
    // Without reading, what it knew is refused, and nothing is overwritten.
    assert!(!control.swap_founder(Some(row(0)), row(9)).await.unwrap());
    assert_eq!(control.founder().await.unwrap(), Some(row(1)));
    assert!(control.swap_founder(Some(row(1)), row(2)).await.unwrap());
}

#[tokio::test]
async fn a_beat_is_one_write_and_no_read() {
    let (switchboard, table) = faulty();
    let control = Control::new(table, "c");
    assert!(control.swap_founder(None, row(0)).await.unwrap());
    let is_get = |target: &Target<'_>| target.call == Call::Get;
    let outage = Fault::Fail(ErrorKind::Unavailable);
    switchboard.add(is_get, When::Always, outage);
    for beat in 0..3 {
        let next = control.swap_founder(Some(row(beat)), row(beat + 1));
        assert!(next.await.unwrap());
    }
}

#[tokio::test]
async fn the_first_secret_is_not_another_one_after_a_lost_answer() {
    let (switchboard, table) = faulty();
    let is_write = |target: &Target<'_>| target.call == Call::Write;
    switchboard.add(is_write, When::Sequence([true].into()), Fault::LoseAnswer);
    let control = Control::new(table.clone(), "c");
    let lost = control.secrets(1).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Unavailable);
    let found = control.secrets(2).await.unwrap();
    assert_eq!(found.since, 1, "the one that was put");
    assert_eq!(Control::new(table, "c").secrets(3).await.unwrap(), found);
}

#[tokio::test]
async fn failures_keep_their_kind() {
    for kind in [ErrorKind::Throttled, ErrorKind::Unavailable] {
        let (switchboard, table) = faulty();
        let control = Control::new(table, "c");
        switchboard.add(|_| true, When::Always, Fault::Fail(kind));
        let check = |found: crate::Result<()>| assert_eq!(found.unwrap_err().kind(), kind);
        check(control.founder().await.map(drop));
        check(control.swap_founder(None, row(0)).await.map(drop));
        check(control.secrets(0).await.map(drop));
        check(control.rotate_secret(0).await.map(drop));
        check(control.nodes().await.map(drop));
        check(control.remove_node("1").await);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_replaced() {
    let table: Arc<dyn Table> = Arc::new(MemoryTable::new());
    let control = Control::new(table.clone(), "c");
    let two_settled = ClusterSecrets {
        rotation: Rotation::Settled,
        ..control.rotate_secret(0).await.unwrap()
    };
    let none = ClusterSecrets {
        valid: Vec::new(),
        ..two_settled.clone()
    };
    let damaged = [
        record::to_cbor(&two_settled),
        record::to_cbor(&none),
        b"?".to_vec(),
    ];
    for value in damaged {
        put(&*table, control.key(key::SECRETS), &value).await;
        let corrupt = control.secrets(0).await.unwrap_err();
        assert_eq!(corrupt.kind(), ErrorKind::Corrupt);
        let corrupt = control.rotate_secret(0).await.unwrap_err();
        assert_eq!(corrupt.kind(), ErrorKind::Corrupt);
    }
    put(&*table, control.key(key::FOUNDER), b"?").await;
    let corrupt = control.founder().await.unwrap_err();
    assert_eq!(corrupt.kind(), ErrorKind::Corrupt);
    // One node's row: it is not left out as if there were no such node.
    put(&*table, control.key(key::cluster_node("1")), b"?").await;
    let corrupt = control.nodes().await.unwrap_err();
    assert_eq!(corrupt.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn more_nodes_than_are_listed_are_an_error() {
    let table: Arc<dyn Table> = Arc::new(MemoryTable::new());
    let control = Control::new(table, "c");
    let put = async |number: usize| {
        let row = NodeRow {
            node: format!("{number:05}"),
            address: "127.0.0.1:1".parse().unwrap(),
            instance: None,
            zone: None,
            expires: u64::MAX >> 1,
        };
        control.put_node(&row).await.unwrap();
    };
    for number in 0..Control::MAX_NODES {
        put(number).await;
    }
    assert_eq!(control.nodes().await.unwrap().len(), Control::MAX_NODES);
    put(Control::MAX_NODES).await;
    let error = control.nodes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn nothing_prints_a_secret() {
    let table: Arc<dyn Table> = Arc::new(MemoryTable::new());
    let control = Control::new(table, "c");
    let seen = control.rotate_secret(0).await.unwrap();
    let [one, two] = [&seen.valid[0], &seen.valid[1]];
    let check = |printed: &dyn Debug| {
        let printed = format!("{printed:?} {printed:#?}");
        // As it is printed of bytes, of shared bytes, and as text.
        for secret in [one, two] {
            let bytes = secret.expose();
            let shared = Bytes::copy_from_slice(bytes);
            let shared = format!("{shared:?}");
            let list = bytes[..8].iter().map(u8::to_string).collect::<Vec<_>>();
            for form in [
                &shared[2..shared.len() - 1],
                &list.join(", "),
                &key::hex(bytes),
            ] {
                assert!(!printed.contains(form), "{printed}");
            }
        }
    };
    check(&seen);
    let stepped = control.step_secrets(&seen, Duration::MAX, 1).await;
    check(&stepped);
    check(
        &control
            .step_secrets(&seen, Duration::MAX, 2)
            .await
            .unwrap_err(),
    );
    check(&control.rotate_secret(3).await.unwrap_err());
}
