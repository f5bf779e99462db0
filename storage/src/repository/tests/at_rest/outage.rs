//! Without the objects messages are logged and handed over as ever; only what is in segments cannot be told.

use super::*;
use crate::{
    error::ErrorKind::Unavailable,
    layer::{
        FaultyBlobs, Switchboard,
        faulty::{Fault as Broken, When},
    },
};

#[tokio::test]
async fn messages_never_touch_objects() {
    let (table, blobs) = memory();
    let switchboard = Switchboard::new(1);
    switchboard.add(|_| true, When::Always, Broken::Fail(Unavailable));
    switchboard.switch(false);
    let broken = FaultyBlobs::new(blobs, switchboard.clone());
    let logs = TableLogs::new(table, Arc::new(broken), 300 << 10);
    let archive = archive();
    append_up_to(&logs, &archive, 200, 3).await;
    let when = Compaction {
        tail_entries: 50,
        ..eager(60)
    };
    assert_eq!(compact_all(&logs, &archive, &when).await, 3);

    switchboard.switch(true);
    assert_eq!(logs.tip(&archive).await.unwrap().head, 200);
    append_up_to(&logs, &archive, 230, 3).await;
    let drained = logs.read(&archive, LogRange::after(151), false, 500).await;
    assert_eq!(drained.unwrap().len(), 79);
    let known = LogRange { from: 160, to: 170 };
    let drained = logs.read(&archive, known, false, 128).await.unwrap();
    assert_eq!(drained.len(), 11);
    logs.blank(&archive, &[160, 200, 230]).await.unwrap();
    let newest = logs.read(&archive, LogRange::ALL, true, 70).await.unwrap();
    assert_eq!(newest.len(), 70);
    assert_eq!(switchboard.hits(), 0, "nothing of that asked for an object");

    let refused = |result: Result<()>| {
        assert_eq!(result.map_err(|error| error.kind()), Err(Unavailable));
    };
    refused(
        logs.read(&archive, LogRange::ALL, false, 10)
            .await
            .map(drop),
    );
    refused(
        logs.read(&archive, LogRange::ALL, true, 500)
            .await
            .map(drop),
    );
    refused(logs.first_since(&archive, 705).await.map(drop));
    refused(logs.rewrite(&archive, 40, &|_| None).await.map(drop));
    refused(logs.blank(&archive, &[40]).await);
    let contact = BareJid::parse("peer1@example.org").unwrap();
    let with = logs.read_with(&archive, &contact, LogRange::ALL, false, 10);
    refused(with.await.map(drop));
    refused(logs.compact(&keeping(&archive), &when).await.map(drop));
    switchboard.switch(false);
    assert_eq!(all(&logs, &archive).await.len(), 230);
}

#[tokio::test]
async fn damage_is_told_and_touches_nothing_else() {
    let (table, blobs) = memory();
    let (logs, archive) = (logs(&table, &blobs), archive());
    append_up_to(&logs, &archive, 200, 10).await;
    compact_all(&logs, &archive, &eager(190)).await;
    let name = blobs.list("", None, 2).await.unwrap().remove(0);
    let whole = blobs.get(&name).await.unwrap().unwrap().bytes;
    let at = |from, to| LogRange { from, to };
    for byte in [40, 200, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.to_vec();
        damaged[byte] ^= 1;
        blobs
            .put(&name, damaged.into(), crate::shape::PutIf::Any)
            .await
            .unwrap();
        let frames: Vec<bool> = {
            let mut sound = Vec::new();
            for first in [1, 65, 129] {
                let found = logs.read(&archive, at(first, first + 5), false, 6).await;
                sound.push(
                    found
                        .map(|found| found.len() == 6)
                        .or_else(|error| {
                            (error.kind() == ErrorKind::Corrupt)
                                .then_some(false)
                                .ok_or(error)
                        })
                        .unwrap(),
                );
            }
            sound
        };
        assert_eq!(
            frames.iter().filter(|sound| !**sound).count(),
            1,
            "byte {byte}"
        );
        let report = logs.verify(&keeping(&archive), &mut |_| {}).await.unwrap();
        assert!(!report.is_sound());
        assert_eq!(
            report.in_segments + report.in_table,
            200 - 64 + 2 * u64::from(!frames[2]),
            "{report}"
        );
    }
    blobs
        .put(&name, whole, crate::shape::PutIf::Any)
        .await
        .unwrap();
    assert_eq!(all(&logs, &archive).await.len(), 200);
}
