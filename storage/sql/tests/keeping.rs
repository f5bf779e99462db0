//! Tables and their versions, sweeping, long keys, replicas, limits of the server, TLS.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use bytes::Bytes;
use storage::{
    Error, ErrorKind, ManualClock,
    shape::{Batch, Blobs, Condition, Consistency, Key, PutIf, Query, Space, Table},
};
use storage_sql::{DatabaseUrl, Sql, SqlOptions};
use tokio::task::JoinSet;

use common::{Database, Kind, NOW, key, put};

fn is(error: &Error, kind: ErrorKind, sentence: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(sentence), "{error}");
    assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
}

/// Nothing is there; several make it at once; then it is there, and stays as it is.
async fn init(kind: Kind) {
    let database = Database::start(kind);
    let sql = Sql::open(database.options()).unwrap();
    let sentence = if kind == Kind::Sqlite {
        "cannot be opened"
    } else {
        "run `starling init`"
    };
    is(
        &sql.check().await.unwrap_err(),
        ErrorKind::Unavailable,
        sentence,
    );
    let at = key(Space::Core, "p", "s");
    is(
        &sql.table().get(&at, Consistency::Strong).await.unwrap_err(),
        ErrorKind::Unavailable,
        sentence,
    );
    let mut nodes = JoinSet::new();
    for _ in 0..4 {
        let sql = Sql::open(database.options()).unwrap();
        nodes.spawn(async move { sql.init().await.unwrap() });
    }
    let mut reports = nodes.join_all().await;
    let last = "the tables starling_* have version 1";
    assert!(
        reports
            .iter_mut()
            .all(|report| report.pop().as_deref() == Some(last))
    );
    let made = reports.concat();
    let different: BTreeSet<&String> = made.iter().collect();
    assert!(
        made.len() >= 6 && made.len() == different.len(),
        "each once: {made:?}"
    );
    sql.table()
        .write(put(&at, "x", Condition::Absent))
        .await
        .unwrap();
    let report = sql.init().await.unwrap();
    assert_eq!(report, [last]);
    assert!(
        sql.table()
            .get(&at, Consistency::Strong)
            .await
            .unwrap()
            .is_some()
    );
    let remarks = sql.check().await.unwrap();
    match kind {
        Kind::Postgres => assert!(remarks[0].starts_with("fsync is off"), "{remarks:?}"),
        Kind::MariaDb => assert!(remarks[0].contains("at_trx_commit is 2"), "{remarks:?}"),
        Kind::Sqlite => assert_eq!(remarks, [""; 0]),
    }
    // Another prefix is another store.
    let mut options = database.options();
    options.prefix = "other_".into();
    let other = Sql::open(options).unwrap();
    is(
        &other.check().await.unwrap_err(),
        ErrorKind::Unavailable,
        "run `starling init`",
    );
    other.init().await.unwrap();
    assert!(
        other
            .table()
            .get(&at, Consistency::Strong)
            .await
            .unwrap()
            .is_none()
    );
    other.check().await.unwrap();
}

/// What has expired goes, a bounded number at a time, and nothing else.
async fn sweep(kind: Kind) {
    let (database, clock) = (Database::start(kind), ManualClock::at(NOW));
    let sql = database
        .open_with(database.options(), Arc::new(clock.clone()))
        .await;
    let table = sql.table();
    let old: Vec<Key> = (0..250u8)
        .map(|n| key(Space::Core, &format!("p{}", n % 7), [n]))
        .collect();
    for keys in old.chunks(Batch::MAX) {
        let batch = keys.iter().fold(Batch::new(), |batch, key| {
            batch.put_until(key.clone(), "x", Condition::Absent, NOW + 10)
        });
        table.write(batch).await.unwrap();
    }
    let kept = key(Space::Core, "p1", "kept");
    table
        .write(put(&kept, "x", Condition::Absent))
        .await
        .unwrap();
    assert_eq!(table.sweep(NOW + 9, 1000).await.unwrap(), 0);
    clock.advance(Duration::from_secs(10));
    // Renewed by somebody who found it absent.
    table
        .write(put(&old[3], "new", Condition::Absent))
        .await
        .unwrap();
    assert_eq!(table.sweep(NOW + 10, 120).await.unwrap(), 120);
    assert_eq!(table.sweep(NOW + 10, 1000).await.unwrap(), 129);
    assert_eq!(table.sweep(NOW + 10, 1000).await.unwrap(), 0);
    for (key, value) in [(&kept, "x"), (&old[3], "new")] {
        let record = table.get(key, Consistency::Strong).await.unwrap().unwrap();
        assert_eq!((&record.value[..], record.version), (value.as_bytes(), 1));
    }
}

/// The longest keys, which no compression makes shorter, and partitions that differ at their end alone.
async fn long_keys(kind: Kind) {
    let database = Database::start(kind);
    let table = database.open().await.table();
    let noise = |length: usize, last: u8| {
        let mut state = 1u64;
        let mut bytes: Vec<u8> = (1..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        bytes.push(last);
        Bytes::from(bytes)
    };
    let mut partitions = Vec::new();
    for (length, last) in [(1600, 1), (1601, 1), (2048, 1), (2048, 2)] {
        let at = Key {
            space: Space::Ctl,
            partition: noise(length, last),
            sort: noise(1024, last),
        };
        table
            .write(put(&at, [last].to_vec(), Condition::Absent))
            .await
            .unwrap();
        let batch = put(&at, [last].to_vec(), Condition::Version(1)).check(
            Key {
                sort: "no".into(),
                ..at.clone()
            },
            Condition::Absent,
        );
        table.write(batch).await.unwrap();
        let query = Query {
            space: Space::Ctl,
            partition: at.partition.clone(),
            from: None,
            until: None,
            reverse: true,
            limit: 10,
            consistency: Consistency::Strong,
        };
        let found = table.query(&query).await.unwrap().records;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&found[0].value[..], found[0].version, &found[0].sort),
            (&[last][..], 2, &at.sort)
        );
        partitions.push(at.partition);
    }
    let mut found = Vec::new();
    while let Some(next) = table
        .partitions(Space::Ctl, found.last().map(|last: &Bytes| &last[..]), 1)
        .await
        .unwrap()
        .pop()
    {
        found.push(next);
    }
    found.sort();
    partitions.sort();
    assert_eq!(found, partitions);
}

/// An object of many parts; a range of it; replaced while it is read.
async fn objects(kind: Kind) {
    let database = Database::start(kind);
    let blobs = database.open().await.blobs();
    let bytes = |seed: u32| {
        Bytes::from(
            (0..5_000_003u32)
                .map(|at| (at.wrapping_mul(seed) >> 7) as u8)
                .collect::<Vec<_>>(),
        )
    };
    let versions: Vec<Bytes> = (3..6).map(bytes).collect();
    blobs
        .put("a/big", versions[0].clone(), PutIf::Absent)
        .await
        .unwrap();
    for (start, end) in [
        (0, 1),
        (262_143, 262_145),
        (4_999_999, 9_000_000),
        (300_000, 4_000_000),
        (7, u64::MAX),
    ] {
        let cut = |at: u64| (at.min(5_000_003)) as usize;
        let found = blobs.get_range("a/big", start..end).await.unwrap().unwrap();
        assert!(found == versions[0][cut(start)..cut(end)], "{start}..{end}");
    }
    let mut tasks = JoinSet::new();
    for reader in 0..4 {
        let (blobs, versions) = (blobs.clone(), versions.clone());
        tasks.spawn(async move {
            for round in 0..6 {
                if reader == 0 {
                    let version = versions[round % 3].clone();
                    blobs.put("a/big", version, PutIf::Any).await.unwrap();
                } else {
                    let found = blobs.get("a/big").await.unwrap().unwrap();
                    assert!(versions.contains(&found.bytes), "a mixture");
                }
            }
        });
    }
    tasks.join_all().await;
    blobs.remove("a/big").await.unwrap();
    assert_eq!(blobs.get_range("a/big", 0..1).await.unwrap(), None);
}

on_each!(init, sweep, long_keys, objects);

/// Nobody else may read the file, nor what is beside it.
#[tokio::test]
async fn a_file_is_private() {
    let database = Database::start(Kind::Sqlite);
    let sql = database.open().await;
    sql.table()
        .write(put(&key(Space::Core, "p", "s"), "x", Condition::Any))
        .await
        .unwrap();
    let Database::Sqlite(directory) = &database else {
        unreachable!()
    };
    let files: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(files.len(), 3, "the file, its log, its index");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
}

/// Reads that may be behind go to the replica, others never; without it they go to the primary.
#[tokio::test]
async fn eventual_reads_go_to_the_replica() {
    let (primary, replica) = (Database::start(Kind::Sqlite), Database::start(Kind::Sqlite));
    let at = key(Space::Core, "p", "s");
    replica
        .open()
        .await
        .table()
        .write(put(&at, "of the replica", Condition::Any))
        .await
        .unwrap();
    let mut options = primary.options();
    options.replica = Some(replica.url());
    let table = primary
        .open_with(options.clone(), Arc::new(ManualClock::at(NOW)))
        .await
        .table();
    table
        .write(put(&at, "of the primary", Condition::Absent))
        .await
        .unwrap();
    let read = async |table: &storage_sql::SqlTable, consistency| {
        table.get(&at, consistency).await.unwrap().unwrap().value
    };
    assert_eq!(read(&table, Consistency::Strong).await, "of the primary");
    assert_eq!(read(&table, Consistency::Eventual).await, "of the replica");
    options.replica = Some(DatabaseUrl::new("postgres://u:p@127.0.0.1:1/d"));
    let table = Sql::with_clock(options, Arc::new(ManualClock::at(NOW)))
        .unwrap()
        .table();
    assert_eq!(read(&table, Consistency::Eventual).await, "of the primary");
}

/// Too many connections are Throttled, a wrong password and missing permissions are said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_says_what_is_wrong() {
    let database = Database::with_settings(
        Kind::Postgres,
        &["max_connections=7", "superuser_reserved_connections=3"],
    );
    let sql = database.open().await;
    let Database::Postgres(server) = &database else {
        unreachable!()
    };
    for sql in [
        "CREATE USER poor PASSWORD 'sesame seeds'",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor",
    ] {
        server.sql(sql).unwrap();
    }
    let user = |password: &str| {
        let url = format!(
            "postgres://poor:{password}@127.0.0.1:{}/postgres",
            server.port()
        );
        SqlOptions::new(DatabaseUrl::new(url))
    };
    let wrong = Sql::open(user("sesame"))
        .unwrap()
        .check()
        .await
        .unwrap_err();
    is(
        &wrong,
        ErrorKind::Unavailable,
        "password authentication failed",
    );
    let poor = Sql::open(user("sesame%20seeds")).unwrap();
    is(
        &poor.check().await.unwrap_err(),
        ErrorKind::Unavailable,
        "not permitted",
    );
    let at = key(Space::Core, "p", "s");
    is(
        &poor
            .table()
            .write(put(&at, "x", Condition::Absent))
            .await
            .unwrap_err(),
        ErrorKind::Unavailable,
        "not permitted",
    );
    assert!(
        poor.table()
            .get(&at, Consistency::Strong)
            .await
            .unwrap()
            .is_none()
    );
    // Nobody but the administrator gets one of the last three.
    let mut crowd = Vec::new();
    let full = loop {
        let sql = Sql::open(user("sesame%20seeds")).unwrap();
        match sql.table().get(&at, Consistency::Strong).await {
            Ok(found) => assert!(found.is_none()),
            Err(error) => break error,
        }
        crowd.push(sql);
    };
    is(&full, ErrorKind::Throttled, "connection");
    drop(crowd);
    drop(sql);
}

/// A statement that the server would hang up on is not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_is_not_sent_too_much() {
    let database = Database::with_settings(Kind::MariaDb, &["max-allowed-packet=1M"]);
    let table = database.open().await.table();
    let at = |n: u8| key(Space::Core, "p", [n]);
    table.write(put(&at(0), "x", Condition::Any)).await.unwrap();
    let large = Bytes::from(vec![7; 1 << 20]);
    let error = table
        .write(put(&at(1), large.clone(), Condition::Absent))
        .await
        .unwrap_err();
    is(&error, ErrorKind::TooLarge, "max_allowed_packet");
    // Together they are too much, each by itself is not.
    let half = large.slice(..large.len() * 3 / 5);
    let mut writes = JoinSet::new();
    for n in 2..10 {
        let (table, batch) = (table.clone(), put(&at(n), half.clone(), Condition::Absent));
        writes.spawn(async move { table.write(batch).await.unwrap() });
    }
    writes.join_all().await;
}

/// The certificate is verified when the URL wants it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_by_the_url() {
    let files = tempfile::tempdir().unwrap();
    let authority = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (certificate, secret) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&certificate, authority.cert.pem()).unwrap();
    std::fs::write(&secret, authority.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(files.path(), PermissionsExt::from_mode(0o755)).unwrap();
    services::Account::of("postgres")
        .unwrap()
        .give(&secret)
        .unwrap();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", secret.display()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let database = Database::with_settings(Kind::Postgres, &settings);
    let Database::Postgres(server) = &database else {
        unreachable!()
    };
    let open = |host: &str, parameters: &str| {
        let url = server.url().replace("127.0.0.1", host) + parameters;
        Sql::open(SqlOptions::new(DatabaseUrl::new(url))).unwrap()
    };
    let known = format!("?sslmode=verify-full&sslrootcert={}", certificate.display());
    open("localhost", &known).init().await.unwrap();
    open("localhost", "?sslmode=require").check().await.unwrap();
    let unknown = open("localhost", "?sslmode=verify-full")
        .check()
        .await
        .unwrap_err();
    is(&unknown, ErrorKind::Unavailable, "ertificate");
    // It was made for another name.
    let other = open("127.0.0.1", &known).check().await.unwrap_err();
    is(&other, ErrorKind::Unavailable, "ertificate");
    let socket = SqlOptions::new(DatabaseUrl::new(server.socket_url()));
    Sql::open(socket).unwrap().check().await.unwrap();
}
