//! When a token counts and when a newer one takes its place (XEP-0484).

use super::*;

const MECHANISM: &str = "HT-SHA-256-NONE";

fn token(secret: &str, count: u64, expires_ms: u64) -> FastToken {
    FastToken {
        mechanism: MECHANISM.to_owned(),
        secret: secret.into(),
        issued_ms: 0,
        expires_ms,
        count,
    }
}

fn tokens(previous: bool) -> AgentTokens {
    AgentTokens {
        current: token("new", 5, 1_000),
        previous: previous.then(|| token("old", 7, 500)),
        version: 3,
    }
}

#[test]
fn token_must_be_held_alive_and_not_replayed() {
    let check = |previous,
                 secret: &str,
                 mechanism: &str,
                 count,
                 now_ms,
                 expected: Result<Slot, SaslFailure>| {
        let mechanism = Mechanism::parse(mechanism).unwrap();
        let found = judge(&tokens(previous), mechanism, count, now_ms, |token| {
            token.secret == secret.as_bytes()
        });
        assert_eq!(found, expected, "{secret} {mechanism} {count:?} {now_ms}");
    };
    use SaslFailure::{CredentialsExpired, NotAuthorized};
    check(true, "new", MECHANISM, None, 0, Ok(Slot::Current));
    check(true, "old", MECHANISM, None, 0, Ok(Slot::Previous));
    check(false, "old", MECHANISM, None, 0, Err(NotAuthorized));
    check(true, "other", MECHANISM, None, 0, Err(NotAuthorized));
    check(true, "new", "HT-SHA-512-NONE", None, 0, Err(NotAuthorized));
    check(true, "new", MECHANISM, Some(6), 0, Ok(Slot::Current));
    check(true, "new", MECHANISM, Some(5), 0, Err(NotAuthorized));
    check(true, "new", MECHANISM, Some(0), 0, Err(NotAuthorized));
    check(true, "old", MECHANISM, Some(7), 0, Err(NotAuthorized));
    check(true, "old", MECHANISM, Some(8), 0, Ok(Slot::Previous));
    check(true, "new", MECHANISM, None, 999, Ok(Slot::Current));
    check(true, "new", MECHANISM, None, 1_000, Err(CredentialsExpired));
    check(true, "old", MECHANISM, None, 500, Err(CredentialsExpired));
    // Who does not hold it is not told that it expired.
    check(true, "other", MECHANISM, None, 2_000, Err(NotAuthorized));
}

#[test]
fn newer_token_voids_the_older_once_it_is_used() {
    let check = |slot, count, current: u64, previous: Option<u64>| {
        let left = after(tokens(true), slot, count);
        assert_eq!(
            (left.current.count, left.previous.map(|token| token.count)),
            (current, previous),
            "{slot:?} {count:?}"
        );
    };
    check(Slot::Current, None, 5, None);
    check(Slot::Current, Some(9), 9, None);
    check(Slot::Previous, None, 5, Some(7));
    check(Slot::Previous, Some(9), 5, Some(9));
}

#[test]
fn new_token_stands_beside_the_used_one() {
    let check = |slot, expected: &str| {
        let left = with_new(tokens(true), slot, token("newest", 0, 2_000));
        assert_eq!(left.current.secret, b"newest");
        assert_eq!(
            left.previous.map(|token| token.secret),
            Some(expected.into()),
            "{slot:?}"
        );
    };
    check(Slot::Current, "new");
    check(Slot::Previous, "old");
}

#[test]
fn use_is_read() {
    let check = |text: &str, expected: Result<(Option<u64>, bool), SaslFailure>| {
        let fast = xmpp::Fragment::parse(
            format!("<fast xmlns='urn:xmpp:fast:0' {text}/>").into(),
            ns::CLIENT,
        )
        .unwrap();
        assert_eq!(
            Use::parse(fast.root()).map(|it| (it.count, it.invalidate)),
            expected,
            "{text}"
        );
    };
    check("", Ok((None, false)));
    check("count='3'", Ok((Some(3), false)));
    check("invalidate='true'", Ok((None, true)));
    check("invalidate='1' count='4'", Ok((Some(4), true)));
    check("invalidate='no'", Ok((None, false)));
    check("count='-1'", Err(SaslFailure::MalformedRequest));
    check("count=''", Err(SaslFailure::MalformedRequest));
}
