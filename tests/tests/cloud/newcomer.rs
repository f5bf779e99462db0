//! Who comes while the store is gone: visitors with a right password, and somebody who registers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tests::faults::actor::condition;
use tests::faults::client::{Client, attr, name, plain_auth};
use tokio::sync::watch;
use tokio::time::sleep;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);
/// Attempts to register at most.
const ATTEMPTS: usize = 1_000;

/// Logs in again and again; how it went. Panics if a right password is called wrong.
pub async fn visit(
    server: SocketAddr,
    is_over: watch::Receiver<bool>,
) -> BTreeMap<&'static str, usize> {
    let mut told = BTreeMap::new();
    while !*is_over.borrow() || !told.contains_key("came in") {
        let outcome = match Client::authenticated(server, "visitor").await {
            Ok(mut client) => match client.bind("phone").await {
                Ok(()) => "came in",
                Err(error) => {
                    let answer = error.to_string();
                    assert!(answer.contains("type='wait'"), "bind: {answer}");
                    "bind refused"
                }
            },
            Err(error) => {
                let answer = error.to_string();
                assert_eq!(condition(&answer), "temporary-auth-failure", "{error:?}");
                "login refused"
            }
        };
        *told.entry(outcome).or_default() += 1;
        sleep(PAUSE).await;
    }
    told
}

/// Whether a registration with the password of this attempt was answered with success.
pub type Attempts = Vec<bool>;

fn password(attempt: usize) -> String {
    format!("password {attempt}")
}

/// Registers the account `newcomer` until the server says that it is there, with another password each time.
pub async fn register(server: SocketAddr) -> Attempts {
    let mut attempts = Attempts::new();
    while attempts.len() < ATTEMPTS {
        let mut client = Client::connect(server).await.unwrap();
        client.open().await.unwrap();
        let password = password(attempts.len());
        let request = format!(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>newcomer</username>\
             <password>{password}</password></query></iq>"
        );
        let answer = client.ask(&request).await.unwrap();
        let is_done = attr(&answer, "type") == Some("result");
        attempts.push(is_done);
        if is_done {
            return attempts;
        }
        if condition(&answer) == "conflict" {
            // One of those before has made it, although nobody could be told.
            assert!(attempts.len() > 1, "{answer}");
            return attempts;
        }
        assert!(answer.contains("type='wait'"), "register: {answer}");
        sleep(PAUSE).await;
    }
    panic!("nobody can register");
}

/// The account has the password of one attempt, and of the one that was told so if one was.
pub async fn assert_registered_once(server: SocketAddr, attempts: &Attempts) {
    let mut good = Vec::new();
    for attempt in 0..attempts.len() {
        let mut client = Client::connect(server).await.unwrap();
        client.open().await.unwrap();
        client
            .send(&plain_auth("newcomer", &password(attempt)))
            .await
            .unwrap();
        let answer = client.next().await.unwrap();
        if name(&answer) == "success" {
            good.push(attempt);
        } else {
            assert_eq!(condition(&answer), "not-authorized", "{answer}");
        }
    }
    assert_eq!(good.len(), 1, "passwords of one account: {attempts:?}");
    let told = attempts.iter().position(|told| *told);
    assert!(told.is_none_or(|told| told == good[0]), "{told:?} {good:?}");
}
