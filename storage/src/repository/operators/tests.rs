//! Tokens that come and go, and a log that never grows beyond its bound.

use std::sync::Arc;

use super::*;
use crate::{backend::memory::MemoryTable, error::ErrorKind};

fn operators() -> Operators {
    Operators::new(Arc::new(MemoryTable::new()))
}

fn token(id: &str, secret: &str, expires_ms: Option<u64>) -> ApiToken {
    ApiToken {
        id: id.to_owned(),
        name: format!("the token {id}"),
        scopes: vec!["read".to_owned()],
        hash: TokenHash::of(secret.as_bytes()),
        created_ms: 1,
        expires_ms,
    }
}

fn entry(what: u64) -> AuditEntry {
    AuditEntry {
        number: 0,
        at_ms: what,
        who: "socket".to_owned(),
        peer: None,
        node: None,
        operation: "add".to_owned(),
        target: Some("bob@example.org".to_owned()),
        outcome: None,
    }
}

#[tokio::test]
async fn tokens_are_found_until_they_are_revoked() {
    let operators = operators();
    let (one, two) = (token("aa", "x", None), token("bb", "y", Some(u64::MAX / 2)));
    operators.add_token(&one).await.unwrap();
    operators.add_token(&two).await.unwrap();
    let again = operators.add_token(&token("aa", "z", None)).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(operators.token("aa").await.unwrap(), Some(one.clone()));
    assert_eq!(operators.token("a").await.unwrap(), None);
    assert_eq!(
        operators.tokens().await.unwrap(),
        [one.clone(), two.clone()]
    );
    assert!(one.hash == TokenHash::of(b"x") && one.hash != two.hash);
    assert!(operators.remove_token("aa").await.unwrap());
    assert!(!operators.remove_token("aa").await.unwrap());
    assert_eq!(operators.token("aa").await.unwrap(), None);
    assert_eq!(operators.tokens().await.unwrap(), [two]);
}

#[tokio::test]
async fn an_expired_token_is_absent() {
    let operators = operators();
    let expired = token("aa", "x", Some(5_000));
    assert!(expired.is_expired(5_000) && !expired.is_expired(4_999));
    operators.add_token(&expired).await.unwrap();
    assert_eq!(operators.token("aa").await.unwrap(), None);
    assert_eq!(operators.tokens().await.unwrap(), []);
}

#[test]
fn a_hash_is_not_printed() {
    assert_eq!(format!("{:?}", TokenHash::of(b"x")), "TokenHash(..)");
}

#[tokio::test]
async fn there_is_an_end_of_tokens() {
    let operators = operators();
    for number in 0..Operators::MAX_TOKENS {
        let token = token(&format!("{number:04}"), "x", None);
        operators.add_token(&token).await.unwrap();
    }
    let more = operators.add_token(&token("more", "x", None)).await;
    assert_eq!(more.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn entries_are_read_from_the_newest_on() {
    let operators = operators();
    assert_eq!(operators.audit(None, 10).await.unwrap(), []);
    for what in 1..=5 {
        assert_eq!(operators.append_audit(&entry(what)).await.unwrap(), what);
    }
    let outcome = AuditOutcome {
        done: true,
        why: None,
    };
    operators.finish_audit(4, outcome.clone()).await.unwrap();
    operators.finish_audit(9, outcome.clone()).await.unwrap();
    let check = async |before, limit, expected: &[u64]| {
        let found = operators.audit(before, limit).await.unwrap();
        let numbers: Vec<_> = found.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, expected, "{before:?} {limit}");
        for entry in found {
            let expected = (entry.number == 4).then(|| outcome.clone());
            assert_eq!((entry.at_ms, entry.outcome), (entry.number, expected));
        }
    };
    check(None, 10, &[5, 4, 3, 2, 1]).await;
    check(None, 2, &[5, 4]).await;
    check(Some(4), 2, &[3, 2]).await;
    check(Some(1), 2, &[]).await;
    check(Some(100), 1, &[5]).await;
}

#[tokio::test]
async fn the_oldest_entries_are_written_over() {
    let operators = operators();
    let more = Operators::MAX_ENTRIES + 3;
    for what in 1..=more {
        operators.append_audit(&entry(what)).await.unwrap();
    }
    let all = operators.audit(None, usize::MAX / 2).await.unwrap();
    let expected: Vec<u64> = (4..=more).rev().collect();
    let numbers: Vec<_> = all.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, expected);
    // Over the seam of the ring.
    let page = operators.audit(Some(Operators::MAX_ENTRIES + 2), 4).await;
    let numbers: Vec<_> = page.unwrap().iter().map(|entry| entry.number).collect();
    let seam = Operators::MAX_ENTRIES;
    assert_eq!(numbers, [seam + 1, seam, seam - 1, seam - 2]);
}

#[tokio::test]
async fn those_who_write_together_get_a_number_each() {
    let operators = operators();
    let mut tasks = tokio::task::JoinSet::new();
    for what in 0..8 {
        let operators = operators.clone();
        tasks.spawn(async move { operators.append_audit(&entry(what)).await.unwrap() });
    }
    let mut numbers = tasks.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}
