//! The command as people use it: start, administer, stop, export, import.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

fn starling(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn run(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = starling(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn check(directory: &Path, arguments: &[&str], input: &str, code: i32) -> String {
    let output = run(directory, arguments, input);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{out}\n{err}"
    );
    out.into_owned()
}

/// A node on ports that the system chose, killed when dropped.
struct Node(Child);

impl Node {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = starling(directory)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--listen",
                "direct:127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
            ])
            .args(["--ready-file", "ready.json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        // It tells when it is ready, or ends.
        loop {
            let before = told.len();
            assert_ne!(
                log.read_line(&mut told).unwrap(),
                0,
                "it ended before it was ready:\n{told}"
            );
            if told[before..].contains(" ready ") {
                break;
            }
        }
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self(child)
    }

    /// SIGTERM; what it printed.
    fn stop(mut self) -> String {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let mut out = String::new();
        self.0
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        assert!(self.0.wait().unwrap().success());
        out
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16, path: &str) -> String {
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_node_is_started_administered_stopped_and_moved() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    let node = Node::start(here, &[]);
    let ready: Value =
        serde_json::from_str(&std::fs::read_to_string(here.join("ready.json")).unwrap()).unwrap();
    let port = |name: &str| u16::try_from(ready[name].as_u64().unwrap()).unwrap();
    assert!(port("c2s") > 0 && port("c2s_tls") > 0 && port("c2s") != port("c2s_tls"));
    assert_eq!(ready["pid"].as_u64(), Some(u64::from(node.0.id())));
    assert!(get(port("http"), "/ready").starts_with("HTTP/1.1 200"));
    let metrics = get(port("http"), "/metrics");
    for part in [
        "xmpp_c2s_sessions 0",
        "xmpp_store_operations_total{op=\"write\",outcome=\"ok\",space=\"core\"}",
        "xmpp_tls_certificate_expiry_timestamp_seconds{name=\"localhost\"}",
    ] {
        assert!(metrics.contains(part), "{part}\n{metrics}");
    }

    check(
        here,
        &["user", "add", "bob@localhost", "--password-stdin"],
        "pencil\n",
        0,
    );
    check(here, &["user", "add", "bob@localhost"], "pencil\n", 3);
    check(
        here,
        &["user", "add", "bob@elsewhere.example"],
        "pencil\n",
        3,
    );
    check(here, &["user", "add", "carol@localhost", "in sight"], "", 0);
    check(here, &["user", "password", "carol@localhost"], "new\n", 0);
    assert_eq!(
        check(here, &["user", "kick", "carol@localhost"], "", 0),
        "0 sessions ended\n"
    );
    check(here, &["user", "kick", "nosuch@localhost"], "", 3);
    check(here, &["user", "disable", "nosuch@localhost"], "", 3);
    check(here, &["user", "disable", "carol@localhost"], "", 0);
    assert_eq!(
        check(here, &["user", "list"], "", 0),
        "alice@localhost\nbob@localhost\ncarol@localhost\tdisabled\n"
    );
    check(here, &["user", "enable", "carol@localhost"], "", 0);
    let long = check(here, &["user", "list", "--long"], "", 0);
    let carol: Vec<&str> = long.lines().last().unwrap().split('\t').collect();
    assert_eq!(
        (carol[0], carol[1], carol[3]),
        ("carol@localhost", "enabled", "never")
    );
    assert!(
        carol[2].starts_with("20") && carol[2].ends_with('Z'),
        "{long}"
    );
    check(here, &["user", "add", "eve@localhost"], "IX\u{AD}x\n", 3);
    check(here, &["user", "remove", "carol@localhost"], "", 0);
    assert_eq!(
        check(here, &["user", "list"], "", 0),
        "alice@localhost\nbob@localhost\n"
    );
    // The store is the node's.
    check(here, &["export"], "", 1);

    let welcome = node.stop();
    assert!(
        welcome.contains("alice@localhost") && welcome.contains("SHA-256"),
        "{welcome}"
    );
    assert!(welcome.contains(&port("c2s").to_string()) && !here.join("ready.json").exists());

    check(here, &["user", "add", "dora@localhost"], "pencil\n", 0);
    check(here, &["user", "kick", "dora@localhost"], "", 3);
    let users = "alice@localhost\nbob@localhost\ndora@localhost\n";
    assert_eq!(check(here, &["user", "list"], "", 0), users);
    let exported = check(here, &["export"], "", 0);
    check(here, &["export", "--user", "nobody@localhost"], "", 3);
    check(here, &["export", "--domain", "nope"], "", 3);
    assert_eq!(
        check(here, &["export", "--domain", "LocalHost"], "", 0),
        exported
    );
    check(here, &["import", "-", "--data", "other"], "", 1);
    check(here, &["user", "kick", "nosuch@localhost"], "", 3);
    check(here, &["user", "disable", "dora@localhost"], "", 0);
    check(here, &["user", "enable", "dora@localhost"], "", 0);
    check(here, &["import", "-", "--data", "other"], &exported, 0);
    assert_eq!(
        check(here, &["user", "list", "--data", "other"], "", 0),
        users
    );
    assert_eq!(check(here, &["export", "--data", "other"], "", 0), exported);
    check(here, &["import", "-", "--data", "other"], &exported, 4);

    // A second start welcomes nobody.
    assert_eq!(Node::start(here, &[]).stop(), "");
}

#[test]
fn mistakes_have_an_exit_code_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("a.toml"),
        "domains = [\"a.example\"]\nfoo = 1\n[auth]\nattempts = 0\n",
    )
    .unwrap();
    let output = run(home.path(), &["check-config", "--config", "a.toml"], "");
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("a.toml:2:1: foo: no such key")
            && told.contains("a.toml:4:12: auth.attempts"),
        "{told}"
    );
    check(home.path(), &["serve", "--config", "a.toml"], "", 78);
    std::fs::write(home.path().join("a.toml"), "domains = [\"a.example\"]\n").unwrap();
    check(home.path(), &["check-config", "--config", "a.toml"], "", 0);
    check(home.path(), &["frobnicate"], "", 2);
    assert!(check(home.path(), &["--version"], "", 0).starts_with("starling "));
}

#[test]
fn a_node_that_is_alone_says_so() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    check(here, &["cluster", "status"], "", 1);
    let node = Node::start(here, &["--memory"]);
    let text = check(here, &["cluster", "status"], "", 0);
    let starts = "alone: no cluster is configured\nthis node: starling ";
    assert!(text.starts_with(starts), "{text}");
    let json = check(here, &["cluster", "status", "--json"], "", 0);
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told["domains"], serde_json::json!(["localhost"]));
    assert_eq!(
        (&told["cluster"], &told["sessions"]),
        (&Value::Null, &0.into())
    );
    // Nothing is done, and nothing claims to be.
    check(here, &["cluster", "drain", "--self"], "", 6);
    check(here, &["cluster", "drain", "other", "--no-wait"], "", 6);
    check(here, &["cluster", "fence", "other"], "", 6);
    check(here, &["cluster", "fence", "other", "--yes"], "", 6);
    check(here, &["cluster", "secret-rotate"], "", 6);
    check(here, &["cluster", "drain"], "", 2);
    let ready: Value =
        serde_json::from_str(&std::fs::read_to_string(here.join("ready.json")).unwrap()).unwrap();
    let port = u16::try_from(ready["http"].as_u64().unwrap()).unwrap();
    let page = get(port, "/status");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    for part in [
        "\r\ncontent-type: text/html; charset=utf-8\r\n",
        "\r\ncontent-security-policy: default-src 'none'; ",
        "This node is alone",
        "<p class=\"state well\">ready</p>",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    // Who has an account is nobody's business here.
    assert!(!page.contains("alice"), "{page}");
    let json = get(port, "/status.json");
    let (_, body) = json.split_once("\r\n\r\n").unwrap();
    let told: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&told["cluster"], &told["homes"]),
        (&Value::Null, &0.into())
    );
    node.stop();
    check(here, &["cluster", "status"], "", 1);
}
