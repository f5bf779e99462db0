//! Floods: what the many and the slow may cost, measured on a server process.
//!
//! `STARLING_IDLE_CONNECTIONS`: idle connections at once (2,000; acceptance 10,000). `STARLING_DETACHED`: sessions that wait
//! to be resumed (2,000).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tests::faults::actor::condition;
use tests::faults::client::{Client, attr, counts, header, message, name};
use tests::faults::dice::count;
use tests::faults::node::{Local, Process, directory_with};
use tests::faults::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");
const MIB: f64 = 1024.0 * 1024.0;

/// How many connections the kernel holds for a process.
fn sockets(server: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_cost_little_and_are_closed() {
    let connections = count("STARLING_IDLE_CONNECTIONS", 2_000);
    let (_directory, path) = directory_with(["alice".to_owned()]).await.unwrap();
    let settings = Settings {
        negotiation_ms: 20_000,
        ..Settings::default()
    };
    let server = Process::start(Path::new(VICTIM), &path, &settings).unwrap();
    let mut alice = Client::online(server.plain, "alice", "phone")
        .await
        .unwrap();
    let (before, descriptors) = (server.resident(), sockets(&server));
    let mut idle = Vec::new();
    for number in 0..connections {
        let mut stream = TcpStream::connect(server.plain).await.unwrap();
        // A third says nothing, a third begins a header, a third has its features.
        match number % 3 {
            0 => {}
            1 => stream.write_all(&header().as_bytes()[..40]).await.unwrap(),
            _ => stream.write_all(header().as_bytes()).await.unwrap(),
        }
        idle.push(stream);
    }
    while sockets(&server) < descriptors + connections {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    alice.before_answer("served").await.unwrap();
    let each = (server.resident() - before) / connections as f64;
    println!(
        "{connections} idle connections: {each:.0} bytes each; {:.1} MiB before",
        before / MIB
    );
    assert!(
        each < 8_192.0,
        "{each:.0} bytes for a connection that said nothing"
    );
    let mut told = 0;
    for mut stream in idle {
        let mut said = Vec::new();
        let end =
            tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut said)).await;
        end.expect("closed by the deadline of the negotiation").ok();
        told += usize::from(String::from_utf8_lossy(&said).contains("<connection-timeout"));
    }
    assert_eq!(told, connections, "each is told why");
    alice.before_answer("served").await.unwrap();
    println!("{:.1} MiB after", server.resident() / MIB);
}

/// Sends messages of this length to bob, a window at a time; how many were acknowledged and not refused.
async fn flood(client: &mut Client, from: usize, count: usize, length: usize) -> BTreeSet<String> {
    let body = "x".repeat(length);
    let mut promised = BTreeSet::new();
    let mut refused = Vec::new();
    for number in from..from + count {
        let id = format!(
            "{}-{number}",
            client.jid.split('@').next().unwrap_or_default()
        );
        client
            .send(&message("bob@localhost", &id, &body))
            .await
            .unwrap();
        promised.insert(id);
        // What a sender may have under way is bounded by number only: large ones go in small groups.
        let group = if length > 10_000 { 4 } else { 32 };
        if number % group + 1 == group || number + 1 == from + count {
            client.acknowledged(&mut refused).await.unwrap();
        }
    }
    for text in refused
        .iter()
        .filter(|text| attr(text, "type") == Some("error"))
    {
        assert!(
            matches!(
                condition(text),
                "resource-constraint" | "service-unavailable"
            ),
            "{text}"
        );
        promised.remove(attr(text, "id").unwrap_or_default());
    }
    promised
}

/// Everything bob gets: until the stream ends, or until a session has nothing more for him.
async fn read_all(bob: &mut Client, got: &mut BTreeSet<String>, wanted: usize) {
    let mut handled = 0;
    while got.len() < wanted {
        let Ok(text) = bob.next().await else { return };
        handled += u32::from(counts(&text));
        if name(&text) == "r" {
            bob.acknowledge(handled).await.unwrap();
        }
        if name(&text) == "message" {
            got.extend(attr(&text, "id").map(str::to_owned));
        }
    }
}

/// A client that never reads while others write to it: the server's memory stays bounded, others are served, and nothing
/// that was acknowledged is lost.
async fn slow_reader(archive: bool, managed: bool, messages: usize, length: usize) {
    let senders = 3;
    let names = (0..senders)
        .map(|number| format!("sender{number}"))
        .chain(["bob", "carol", "dave"].map(str::to_owned));
    let (_directory, path) = directory_with(names).await.unwrap();
    let settings = Settings {
        archive,
        offline: 100_000,
        ..Settings::default()
    };
    let server = Process::start(Path::new(VICTIM), &path, &settings).unwrap();
    let mut carol = Client::online(server.plain, "carol", "phone")
        .await
        .unwrap();
    let mut dave = Client::online(server.plain, "dave", "phone").await.unwrap();
    let mut bob = Client::login(server.plain, "bob", "phone").await.unwrap();
    if managed {
        bob.enable().await.unwrap();
    }
    bob.send("<presence/>").await.unwrap();
    bob.until(|text| name(text) == "presence").await.unwrap();
    let before = server.resident();
    let mut floods = JoinSet::new();
    for number in 0..senders {
        let mut sender = Client::login(server.plain, &format!("sender{number}"), "phone")
            .await
            .unwrap();
        sender.enable().await.unwrap();
        floods.spawn(async move { flood(&mut sender, 0, messages, length).await });
    }
    let (mut peak, mut promised, mut served) = (before, BTreeSet::new(), 0);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            done = floods.join_next() => match done {
                Some(done) => promised.extend(done.unwrap()),
                None => break,
            },
            _ = tick.tick() => {
                peak = peak.max(server.resident());
                carol.send(&message("dave@localhost", &format!("s{served}"), "still here?")).await.unwrap();
                let got = dave.until(|text| name(text) == "message").await.unwrap();
                assert_eq!(attr(&got, "id"), Some(&*format!("s{served}")));
                served += 1;
            }
        }
    }
    peak = peak.max(server.resident());
    println!(
        "slow reader (archive: {archive}, managed: {managed}): {} of {} promised, {} bytes each; {:.1} MiB before, {:.1} MiB at most; \
         others served {served} times",
        promised.len(),
        senders * messages,
        length,
        before / MIB,
        peak / MIB,
    );
    let mut got = BTreeSet::new();
    if managed {
        // It comes back as if it had forgotten the session.
        drop(bob);
    } else {
        // What the socket took counts as delivered: it reads that first.
        tokio::time::timeout(
            Duration::from_secs(5),
            read_all(&mut bob, &mut got, promised.len()),
        )
        .await
        .ok();
    }
    let mut again = Client::login(server.plain, "bob", "phone").await.unwrap();
    again.enable().await.unwrap();
    again.send("<presence/>").await.unwrap();
    read_all(&mut again, &mut got, promised.len()).await;
    let lost: Vec<_> = promised.difference(&got).take(5).collect();
    assert!(
        lost.is_empty(),
        "{} lost, {lost:?} among them",
        promised.difference(&got).count()
    );
    assert!(
        peak - before < 64.0 * MIB,
        "{:.1} MiB for one slow reader",
        (peak - before) / MIB
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_large_messages() {
    slow_reader(true, true, 400, 200 << 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_many_messages() {
    slow_reader(true, true, 8_000, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_without_stream_management() {
    slow_reader(true, false, 400, 200 << 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_without_an_archive() {
    slow_reader(false, true, 2_000, 4 << 10).await;
}

/// A client that asks and never reads the answers does not make the server gather them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_its_answers() {
    let (_directory, path) = directory_with(["alice", "mallory"].map(str::to_owned))
        .await
        .unwrap();
    let server = Process::start(Path::new(VICTIM), &path, &Settings::default()).unwrap();
    let mut alice = Client::online(server.plain, "alice", "phone")
        .await
        .unwrap();
    let mut mallory = Client::online(server.plain, "mallory", "phone")
        .await
        .unwrap();
    let before = server.resident();
    let ask = "<iq type='get' id='p' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>".repeat(500);
    let mut asked = 0;
    // It stops taking requests, or ends the stream.
    let flood = async {
        while mallory.send_bytes(ask.as_bytes()).await.is_ok() && asked < 400_000 {
            asked += 500;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), flood)
        .await
        .ok();
    let grown = server.resident() - before;
    println!("{asked} requests, answers unread: {:.1} MiB", grown / MIB);
    assert!(grown < 48.0 * MIB, "{:.1} MiB for one client", grown / MIB);
    alice.before_answer("served").await.unwrap();
}

/// What a session costs that waits to be resumed, its account's home included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detached_sessions_cost_little() {
    let (warm, sessions) = (500, count("STARLING_DETACHED", 2_000));
    let (_directory, path) =
        directory_with((0..warm + sessions).map(|number| format!("user{number}")))
            .await
            .unwrap();
    let server = Process::start(Path::new(VICTIM), &path, &Settings::default()).unwrap();
    let mut before = 0.0;
    for number in 0..warm + sessions {
        if number == warm {
            before = server.resident();
        }
        let mut client = Client::online(server.plain, &format!("user{number}"), "phone")
            .await
            .unwrap();
        client.enable().await.unwrap();
    }
    let descriptors = sockets(&server);
    let each = (server.resident() - before) / sessions as f64;
    println!("{sessions} detached sessions: {each:.0} bytes each ({descriptors} descriptors open)");
    assert!(descriptors < 100, "their connections are gone");
    assert!(each < 2_048.0, "{each:.0} bytes for a detached session");
}

/// The same messages, when the session cannot be reached any more while it is still listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overrun_session_loses_no_message_that_is_in_no_log() {
    let node = Local::start(
        &Settings {
            archive: false,
            ..Settings::default()
        },
        1,
    )
    .await
    .unwrap();
    node.accounts(["alice", "bob"]).await.unwrap();
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    bob.enable().await.unwrap();
    bob.send("<presence/>").await.unwrap();
    bob.until(|text| name(text) == "presence").await.unwrap();
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    alice.enable().await.unwrap();
    let promised = flood(&mut alice, 0, 6_000, 2_000).await;
    let mut got = BTreeSet::new();
    drop(bob);
    let mut again = Client::login(node.address(), "bob", "phone").await.unwrap();
    again.enable().await.unwrap();
    again.send("<presence/>").await.unwrap();
    read_all(&mut again, &mut got, promised.len()).await;
    let lost: Vec<_> = promised.difference(&got).take(5).collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost, {lost:?} among them",
        promised.difference(&got).count(),
        promised.len()
    );
}
