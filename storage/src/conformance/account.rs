//! Accounts: creation is won once, changes name what they saw, lists are exact.

use super::{done, jid, refused};
use crate::{
    error::ErrorKind,
    repository::{AccountRepository, AgentTokens, Credentials, FastToken, ScramHash, StoredScram},
};

fn credentials(salt: &[u8]) -> Credentials {
    let scram = |hash| StoredScram {
        hash,
        iterations: 10_000,
        salt: salt.to_vec(),
        stored_key: vec![1; 32],
        server_key: vec![2; 32],
    };
    Credentials {
        scram: vec![
            scram(ScramHash::Sha1),
            scram(ScramHash::Sha256),
            scram(ScramHash::Sha512),
        ],
    }
}

/// 2100-01-01: no clock of a test is beyond it.
const FAR: u64 = 4_102_444_800_000;

fn token(secret: &[u8], count: u64) -> FastToken {
    FastToken {
        mechanism: "HT-SHA-256-EXPR".into(),
        secret: secret.to_vec(),
        issued_ms: 1,
        expires_ms: FAR,
        count,
    }
}

/// Runs all of it.
pub async fn accounts(repo: &dyn AccountRepository) {
    life(repo).await;
    races(repo).await;
    lists(repo).await;
    tokens(repo).await;
    agents(repo).await;
    marks(repo).await;
}

async fn life(repo: &dyn AccountRepository) {
    let bob = jid("bob@life.example");
    assert_eq!(done(repo.load(&bob).await), None);
    assert!(!done(repo.remove(&bob).await), "removing twice is fine");
    done(repo.create(&bob, credentials(b"one"), 7).await);
    assert_eq!(done(repo.load(&jid("bobby@life.example")).await), None);

    let found = done(repo.load(&bob).await).expect("just created");
    assert_eq!(
        (found.credentials, found.created_ms, found.disabled),
        (credentials(b"one"), 7, false)
    );
    refused(
        repo.create(&bob, credentials(b"two"), 8).await,
        ErrorKind::Conflict,
    );

    let second = done(
        repo.set_credentials(&bob, credentials(b"two"), found.version)
            .await,
    );
    refused(
        repo.set_credentials(&bob, credentials(b"three"), found.version)
            .await,
        ErrorKind::Conflict,
    );
    let third = done(repo.set_disabled(&bob, true, second).await);
    refused(
        repo.set_disabled(&bob, false, second).await,
        ErrorKind::Conflict,
    );
    let found = done(repo.load(&bob).await).expect("still there");
    assert_eq!(
        (found.credentials, found.disabled, found.version),
        (credentials(b"two"), true, third)
    );

    assert!(done(repo.remove(&bob).await));
    assert_eq!(done(repo.load(&bob).await), None);
    refused(
        repo.set_disabled(&bob, false, third).await,
        ErrorKind::Conflict,
    );
    done(repo.create(&bob, credentials(b"new"), 9).await);
    assert!(done(repo.remove(&bob).await), "the name was free");
    refused(
        repo.create(&jid("life.example"), credentials(b""), 0).await,
        ErrorKind::NotAllowed,
    );
}

async fn races(repo: &dyn AccountRepository) {
    for round in 0..8 {
        let account = jid(&format!("racer{round}@race.example"));
        let (a, b) = tokio::join!(
            repo.create(&account, credentials(b"a"), 1),
            repo.create(&account, credentials(b"b"), 1)
        );
        assert!(a.is_ok() != b.is_ok(), "just one creation wins");
        let winner: &[u8] = if a.is_ok() { b"a" } else { b"b" };
        let found = done(repo.load(&account).await).expect("one created it");
        assert_eq!(found.credentials, credentials(winner));
        refused(a.and(b), ErrorKind::Conflict);
    }
}

async fn lists(repo: &dyn AccountRepository) {
    let names: Vec<String> = (0..23).map(|n| format!("user{n:02}")).collect();
    for name in &names {
        done(
            repo.create(&jid(&format!("{name}@list.example")), credentials(b""), 0)
                .await,
        );
    }
    done(
        repo.create(&jid("other@list.example.org"), credentials(b""), 0)
            .await,
    );
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = done(
            repo.list("list.example", seen.last().map(String::as_str), 5)
                .await,
        );
        let last = page.len() < 5;
        seen.extend(page);
        if last {
            break;
        }
    }
    assert_eq!(seen, names);
    assert!(done(repo.remove(&jid("user07@list.example")).await));
    assert_eq!(
        done(repo.list("list.example", Some("user06"), 1).await),
        ["user08"]
    );
    assert_eq!(
        done(repo.list("list.example", Some("user22"), 1).await),
        [""; 0]
    );
}

async fn tokens(repo: &dyn AccountRepository) {
    let bob = jid("bob@token.example");
    let first = AgentTokens {
        current: token(b"one", 0),
        previous: None,
        version: 0,
    };
    refused(
        repo.put_tokens(&bob, "phone", &first, 0).await,
        ErrorKind::Conflict,
    );
    done(repo.create(&bob, credentials(b""), 0).await);

    let version = done(repo.put_tokens(&bob, "phone", &first, 0).await);
    refused(
        repo.put_tokens(&bob, "phone", &first, 0).await,
        ErrorKind::Conflict,
    );
    let second = AgentTokens {
        current: token(b"two", 3),
        previous: Some(token(b"one", 9)),
        version: 0,
    };
    let newer = done(repo.put_tokens(&bob, "phone", &second, version).await);
    refused(
        repo.put_tokens(&bob, "phone", &first, version).await,
        ErrorKind::Conflict,
    );
    let found = done(repo.tokens(&bob, "phone").await);
    assert_eq!(
        found,
        Some(AgentTokens {
            version: newer,
            ..second
        })
    );
    assert_eq!(done(repo.tokens(&bob, "phon").await), None);

    done(repo.put_tokens(&bob, "laptop", &first, 0).await);
    done(repo.remove_tokens(&bob, "laptop").await);
    done(repo.remove_tokens(&bob, "laptop").await);
    assert_eq!(done(repo.tokens(&bob, "laptop").await), None);
    done(repo.put_tokens(&bob, "laptop", &first, 0).await);
    done(repo.remove_all_tokens(&bob).await);
    assert_eq!(done(repo.tokens(&bob, "laptop").await), None);

    done(repo.put_tokens(&bob, "phone", &first, 0).await);
    done(repo.remove(&bob).await);
    done(repo.create(&bob, credentials(b""), 0).await);
    assert_eq!(
        done(repo.tokens(&bob, "phone").await),
        None,
        "tokens of another owner of the name"
    );
}

/// Whoever makes up agents pushes out only his own, the oldest first.
async fn agents(repo: &dyn AccountRepository) {
    let (bob, ann) = (jid("bob@agent.example"), jid("ann@agent.example"));
    let of = |issued_ms| AgentTokens {
        current: FastToken {
            issued_ms,
            ..token(b"one", 0)
        },
        previous: None,
        version: 0,
    };
    for account in [&bob, &ann] {
        done(repo.create(account, credentials(b""), 0).await);
    }
    done(repo.put_tokens(&ann, "agent0", &of(0), 0).await);
    let last = AgentTokens::MAX_AGENTS as u64 + 2;
    for n in 0..=last {
        done(repo.put_tokens(&bob, &format!("agent{n}"), &of(n), 0).await);
    }
    let newer = AgentTokens::MAX_AGENTS as u64;
    let mut left = 0;
    for n in 0..=last {
        let found = done(repo.tokens(&bob, &format!("agent{n}")).await);
        assert_eq!(found.is_some(), n + newer > last, "agent{n}");
        left += usize::from(found.is_some());
    }
    assert_eq!(left, AgentTokens::MAX_AGENTS);
    assert!(done(repo.tokens(&ann, "agent0").await).is_some());
    // What is long out of date is gone by itself.
    let old = AgentTokens {
        current: FastToken {
            expires_ms: 1,
            ..token(b"old", 0)
        },
        previous: None,
        version: 0,
    };
    done(repo.put_tokens(&ann, "agent1", &old, 0).await);
    assert_eq!(done(repo.tokens(&ann, "agent1").await), None);
}

/// A name is marked from the removal of its account until the erasure has ended or another account is made.
async fn marks(repo: &dyn AccountRepository) {
    let (bob, ann) = (jid("bob@mark.example"), jid("ann@mark.example"));
    let marked = async || done(repo.removals("mark.example", None, 9).await);
    for account in [&bob, &ann] {
        done(repo.create(account, credentials(b""), 0).await);
    }
    refused(repo.begin_erasure(&bob).await, ErrorKind::Conflict);
    assert!(!done(repo.is_being_removed(&bob).await));
    done(repo.remove(&bob).await);
    done(repo.remove(&ann).await);
    assert!(done(repo.is_being_removed(&bob).await));
    assert_eq!(marked().await, ["ann", "bob"]);
    assert_eq!(
        done(repo.removals("mark.example", Some("ann"), 9).await),
        ["bob"]
    );
    assert_eq!(done(repo.removals("mark", None, 9).await), [""; 0]);
    // What nobody left is erased without being a removal.
    for name in ["a", "c"] {
        let nobody = jid(&format!("{name}@mark.example"));
        done(repo.begin_erasure(&nobody).await);
        done(repo.begin_erasure(&nobody).await);
        assert!(!done(repo.is_being_removed(&nobody).await));
    }
    assert_eq!(
        done(repo.removals("mark.example", None, 2).await),
        ["ann", "bob"]
    );
    done(repo.end_erasure(&ann).await);
    done(repo.end_erasure(&ann).await);
    assert_eq!(marked().await, ["bob"]);
    done(repo.create(&bob, credentials(b""), 0).await);
    assert_eq!(marked().await, [""; 0]);
}
