//! Answers that are lost on their way: a proxy between us and the server swallows one and closes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use storage::{
    ErrorKind, ManualClock,
    shape::{Batch, Blobs, Condition, Consistency, PutIf, Space, Table},
};
use storage_sql::{DatabaseUrl, Sql, SqlOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use common::{Database, Kind, NOW, key, put};

/// What the server must be told for an answer to be swallowed, once for each time it is armed.
struct Trap {
    armed: AtomicBool,
    word: &'static [u8],
}

/// Forwards to a server and springs the trap: what holds the word is forwarded, its answer is awaited and not forwarded, and
/// the connection is closed.
async fn proxy(server: SocketAddr, trap: Arc<Trap>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server).await.unwrap();
            let (trap, (from_client, to_client)) = (trap.clone(), client.into_split());
            let (from_server, to_server) = server.into_split();
            let sprung = Arc::new(AtomicBool::new(false));
            tokio::spawn(upstream(from_client, to_server, trap, sprung.clone()));
            tokio::spawn(downstream(from_server, to_client, sprung));
        }
    });
    address
}

async fn upstream(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    trap: Arc<Trap>,
    sprung: Arc<AtomicBool>,
) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = client.read(&mut bytes).await {
        let bytes = &bytes[..read];
        let hit = bytes
            .windows(trap.word.len())
            .any(|window| window == trap.word);
        if hit && trap.armed.swap(false, Ordering::SeqCst) {
            sprung.store(true, Ordering::SeqCst);
        }
        if server.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn downstream(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    sprung: Arc<AtomicBool>,
) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = server.read(&mut bytes).await {
        if sprung.load(Ordering::SeqCst) {
            // It has answered, so it was done. Dropping both halves closes.
            return;
        }
        if client.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    let _ = copy(&mut server, &mut client).await;
}

async fn through_trap(database: &Database, url: &str, word: &'static [u8]) -> (Sql, Arc<Trap>) {
    // The tables are made on the straight way.
    database.open().await;
    let (before, rest) = url.split_once("@127.0.0.1:").unwrap();
    let (port, after) = rest.split_once('/').unwrap();
    let server: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
    let trap = Arc::new(Trap {
        armed: AtomicBool::new(false),
        word,
    });
    let address = proxy(server, trap.clone()).await;
    let options = SqlOptions::new(DatabaseUrl::new(format!("{before}@{address}/{after}")));
    (
        Sql::with_clock(options, Arc::new(ManualClock::at(NOW))).unwrap(),
        trap,
    )
}

/// What was done is done although its answer was lost, if there is a row that proves it.
async fn lost(database: Database, url: String, commit: &'static [u8]) {
    // The end of a transaction.
    let (sql, trap) = through_trap(&database, &url, commit).await;
    let (table, a, b) = (
        sql.table(),
        key(Space::Core, "p", "a"),
        key(Space::Idx, "p", "b"),
    );
    let arm = |trap: &Trap| trap.armed.store(true, Ordering::SeqCst);
    arm(&trap);
    let pair = put(&a, "1", Condition::Absent).put(b.clone(), "1", Condition::Absent);
    table.write(pair).await.unwrap();
    assert!(!trap.armed.load(Ordering::SeqCst), "the answer was lost");
    arm(&trap);
    let change = put(&a, "2", Condition::Version(1)).check(b.clone(), Condition::Exists);
    table.write(change).await.unwrap();
    // Nothing tells who removed what is gone.
    arm(&trap);
    let both = Batch::new()
        .delete(a.clone(), Condition::Version(2))
        .delete(b.clone(), Condition::Version(1));
    assert_eq!(
        table.write(both).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!(table.get(&a, Consistency::Strong).await.unwrap(), None);
    arm(&trap);
    sql.blobs()
        .put("a/b", "bytes".into(), PutIf::Absent)
        .await
        .unwrap();
    assert!(!trap.armed.load(Ordering::SeqCst), "the answer was lost");

    // A statement that is a transaction.
    let (sql, trap) = through_trap(&database, &url, b"the one that is lost").await;
    let (table, value) = (sql.table(), "the one that is lost");
    // So that it is prepared, and the answer is that to its execution.
    for (sort, condition, expected) in [
        ("append", Condition::Absent, 1),
        ("change", Condition::Version(1), 2),
        ("any", Condition::Any, 2),
    ] {
        let at = key(Space::Log, "q", sort);
        let other = key(Space::Log, "q", format!("{sort} before"));
        if expected == 2 {
            table
                .write(put(&at, "old", Condition::Absent))
                .await
                .unwrap();
            table
                .write(put(&other, "old", Condition::Absent))
                .await
                .unwrap();
        }
        table.write(put(&other, "new", condition)).await.unwrap();
        arm(&trap);
        table.write(put(&at, value, condition)).await.unwrap();
        assert!(
            !trap.armed.load(Ordering::SeqCst),
            "the answer to {sort} was lost"
        );
        let found = table.get(&at, Consistency::Strong).await.unwrap().unwrap();
        assert_eq!(
            (&found.value[..], found.version),
            (value.as_bytes(), expected)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    let database = Database::start(Kind::Postgres);
    let Database::Postgres(server) = &database else {
        unreachable!()
    };
    let url = server.url();
    lost(database, url, b"COMMIT\0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb() {
    let database = Database::start(Kind::MariaDb);
    let Database::MariaDb(server) = &database else {
        unreachable!()
    };
    let url = server.url();
    // A query is a 3 and its text; the session begins with READ COMMITTED.
    lost(database, url, b"\x03COMMIT").await;
}
