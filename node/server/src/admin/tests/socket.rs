//! The socket: who is answered, and until when.

use super::{
    super::{
        client::{AdminClient, PATIENCE},
        socket::AdminSocket,
    },
    cluster::Recording,
    *,
};
use crate::{
    membership::status::{Leaving, Step},
    status::samples::{facts, three},
};

/// Whoever holds connections and says nothing keeps nobody out; who is not answered is told.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let socket = AdminSocket::bind(&path).unwrap();
    let silent: Vec<_> = (0..100)
        .map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap())
        .collect();
    let (stop, stopping) = crate::shutdown::signal();
    let serving = tokio::spawn(socket.serve(administrator(None), stopping));
    let asked = path.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let mut client = AdminClient::connect(&asked, PATIENCE).unwrap().unwrap();
        assert_eq!(client.ask(&Request::Ping).unwrap(), Response::Done);
        // They are closed, too.
        for mut silent in silent {
            use std::io::Read;
            assert_eq!(silent.read(&mut [0]).unwrap(), 0);
        }
    });
    asking.await.unwrap();
    stop.stop();
    serving.await.unwrap();
}

#[test]
fn a_node_that_does_not_answer_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let _mute = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let little = std::time::Duration::from_millis(20);
    let mut client = AdminClient::connect(&path, little).unwrap().unwrap();
    let error = client.ask(&Request::Ping).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    // Nor for its taking a connection: the queue of those who wait has a bound.
    let mut waiting = Vec::new();
    let error = loop {
        match AdminClient::connect(&path, little) {
            Ok(client) => waiting.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_answers_its_owner_and_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    // What a crash left behind is no hindrance.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(AdminClient::connect(&path, PATIENCE).unwrap().is_none());
    let socket = AdminSocket::bind(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        AdminSocket::bind(&path).unwrap_err().kind(),
        std::io::ErrorKind::AddrInUse
    );
    let (stop, stopping) = crate::shutdown::signal();
    let serving = tokio::spawn(socket.serve(administrator(None), stopping));
    let asked = path.clone();
    let asking = tokio::task::spawn_blocking(move || {
        use std::io::{BufRead, Write};
        let mut client = AdminClient::connect(&asked, PATIENCE).unwrap().unwrap();
        assert_eq!(client.ask(&Request::Ping).unwrap(), Response::Done);
        assert_eq!(
            client.ask(&add("bob@a.example", "pä\"ss word")).unwrap(),
            Response::Done
        );
        assert_eq!(
            why(&client.ask(&add("bob@a.example", "x")).unwrap()),
            Some(Why::Exists)
        );
        let mut raw = std::os::unix::net::UnixStream::connect(&asked).unwrap();
        raw.write_all(b"{\"do\":\"add\",\"secret\":\"pencil\"}\n")
            .unwrap();
        let mut answer = String::new();
        std::io::BufReader::new(raw).read_line(&mut answer).unwrap();
        assert!(
            answer.contains("\"invalid\"") && !answer.contains("pencil"),
            "{answer}"
        );
    });
    asking.await.unwrap();
    stop.stop();
    serving.await.unwrap();
    assert!(!path.exists());
}

/// Who watches a node leave hears the last word, though the socket closes then: who has seen it leave, and who has had it leave
/// and not looked yet.
#[tokio::test(flavor = "multi_thread")]
async fn the_socket_stays_until_who_watches_has_heard_the_end() {
    let leaving = |step| {
        let mut cluster = three();
        cluster.leaving = Some(Leaving {
            step,
            accounts: 1,
            left: 0,
            elapsed_ms: 1,
            given_up: 0,
        });
        facts(Some(cluster))
    };
    let departure = || Request::Departure { node: three().node };
    for first in [departure(), Request::Drain { node: None }] {
        let now = Arc::new(Mutex::new(leaving(Step::Closing)));
        let seen = now.clone();
        let admin = Administrator {
            desk: Some(Desk {
                look: Arc::new(move || seen.lock().clone()),
                control: Arc::new(Recording::default()),
            }),
            ..administrator(None)
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        let (stop, stopping) = crate::shutdown::signal();
        let serving = tokio::spawn(socket.serve(admin, stopping));
        let asked = path.clone();
        let ask = async |request: Request| {
            let asked = asked.clone();
            let ask = move || {
                let client = AdminClient::connect(&asked, PATIENCE).unwrap();
                client.unwrap().ask(&request).unwrap()
            };
            tokio::task::spawn_blocking(ask).await.unwrap()
        };
        ask(first).await;
        stop.stop();
        let gone = leaving(Step::Gone);
        *now.lock() = gone.clone();
        let told = ask(departure()).await;
        assert_eq!(told, Response::Cluster(Box::new(gone)));
        serving.await.unwrap();
        assert!(!path.exists());
    }
}
