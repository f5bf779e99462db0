//! Failures: what is tried again, what is made once, and what is told.

use std::time::Duration;

use reference_service::{Fault, Service};
use storage::{
    ErrorKind,
    repository::{
        AccountRepository, EntryFlags, LogRange, LogRepository, NewEntry, PasswordVerdict, Roster,
        RosterRepository,
    },
};
use storage_external::http::{Http, HttpAccounts, HttpLogs, HttpOptions, HttpRosters};
use tokio::runtime::Handle;
use xmpp::{BareJid, Jid};

use crate::{WRITABLE, accounts, http, jid, options, refused, service};

fn entry(text: &str) -> NewEntry {
    NewEntry {
        time_ms: 1,
        flags: EntryFlags::ARCHIVED,
        peer: Jid::parse("peer@a.example").unwrap(),
        stanza: text.to_owned().into(),
    }
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_made_once_and_told() {
    use Fault::LoseAnswer;
    let service = service().await;
    let (accounts, http) = (accounts(&service), http(&service));
    let rosters = HttpRosters::new(&http, true);
    let logs = HttpLogs::new(&http, Handle::current());
    let bob = jid("bob@a.example");
    let lose = || service.fail([LoseAnswer, LoseAnswer]);

    lose();
    accounts.create(&bob, Default::default(), 1).await.unwrap();
    let seen = accounts.load(&bob).await.unwrap().unwrap().version;
    lose();
    let version = accounts.set_disabled(&bob, true, seen).await.unwrap();
    lose();
    let keys = accounts
        .set_credentials(&bob, Default::default(), version)
        .await;
    assert!(keys.unwrap() > version);
    lose();
    assert_eq!(rosters.store(&bob, &Roster::default(), 0).await.unwrap(), 1);
    lose();
    assert_eq!(rosters.store(&bob, &Roster::default(), 1).await.unwrap(), 2);
    lose();
    logs.append(&bob, 0, 7, &[entry("a"), entry("b")])
        .await
        .unwrap();
    lose();
    let change = |_: &_| Some(entry("c"));
    assert!(logs.rewrite(&bob, 2, &change).await.unwrap());
    let found = logs.read(&bob, LogRange::ALL, false, 9).await.unwrap();
    let found: Vec<_> = found.iter().map(|it| it.stanza.clone()).collect();
    assert_eq!(found, ["a", "c"]);
    lose();
    assert!(accounts.remove(&bob).await.unwrap(), "it was there");
    assert!(!accounts.remove(&bob).await.unwrap());

    // Beyond the tries of a request it is not known, and the next try of the caller knows itself by its write id.
    service.fail([LoseAnswer, LoseAnswer, LoseAnswer]);
    refused(
        logs.append(&bob, 2, 8, &[entry("d")]).await,
        ErrorKind::Unavailable,
    );
    logs.append(&bob, 2, 8, &[entry("d")]).await.unwrap();
    refused(
        logs.append(&bob, 2, 9, &[entry("e")]).await,
        ErrorKind::Conflict,
    );
    assert_eq!(logs.head(&bob).await.unwrap(), 3);
}

#[tokio::test]
async fn a_refusal_behind_a_lost_answer_leaves_doubt() {
    use ErrorKind::{Conflict, Throttled, TooLarge, Unavailable};
    use Fault::{Flood, LoseAnswer, Refuse, RetryAfter, Status};
    let service = service().await;
    let logs = HttpLogs::new(&http(&service), Handle::current());
    let bob = jid("bob@a.example");
    let busy = Refuse(503, "throttled");
    // Each is tried until it succeeds, as the same write or, if nothing happened, as another.
    let (mut head, mut write_id) = (0, 1);
    let mut check = async |faults: &[Fault], expected: ErrorKind| {
        service.fail(faults.iter().copied());
        let done = logs.append(&bob, head, write_id, &[entry("a")]).await;
        let kind = done.map_err(|error| error.kind());
        assert_eq!(kind, Err(expected), "{faults:?}");
        write_id += u64::from(expected != Unavailable);
        let done = logs.append(&bob, head, write_id, &[entry("a")]).await;
        done.unwrap_or_else(|error| panic!("{faults:?} {error}"));
        (head, write_id) = (head + 1, write_id + 1);
        assert_eq!(logs.head(&bob).await.unwrap(), head, "{faults:?}");
    };
    check(&[LoseAnswer, Status(429), Status(429)], Unavailable).await;
    check(&[LoseAnswer, busy, busy], Unavailable).await;
    check(&[LoseAnswer, RetryAfter(429, 3_600)], Unavailable).await;
    check(&[busy, LoseAnswer, Refuse(413, "too_large")], Unavailable).await;
    check(&[LoseAnswer, Refuse(409, "conflict")], Unavailable).await;
    check(&[LoseAnswer, Refuse(404, "absent")], Unavailable).await;
    check(&[Status(500), Status(429), busy], Unavailable).await;
    // Of a proxy nobody knows whom it asked.
    check(&[Status(503); 3], Unavailable).await;
    check(&[Flood(9 << 20)], Unavailable).await;
    check(&[Refuse(404, "absent")], Unavailable).await;
    // What the service itself refuses did not happen.
    check(&[Status(429); 3], Throttled).await;
    check(&[busy; 3], Throttled).await;
    check(&[busy, Refuse(413, "too_large")], TooLarge).await;
    check(&[Status(429), Refuse(409, "conflict")], Conflict).await;
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_stays_is_told() {
    use Fault::{Flood, Garbage, RetryAfter, Status};
    let service = service().await;
    let accounts = accounts(&service);
    let bob = jid("bob@a.example");
    accounts.create(&bob, Default::default(), 1).await.unwrap();
    service.set_password(&bob, "secret", "right");
    let check = async |faults: &[Fault], asked: u64, expected: Result<(), ErrorKind>| {
        for question in ["load", "password"] {
            let before = service.requests();
            service.fail(faults.iter().copied());
            let found = match question {
                "load" => accounts.load(&bob).await.map(|it| assert!(it.is_some())),
                _ => {
                    let found = accounts.check_password(&bob, "secret").await;
                    found.map(|it| assert_eq!(it, PasswordVerdict::Right))
                }
            };
            let found = found.map_err(|error| error.kind());
            assert_eq!(found, expected, "{faults:?} {question}");
            assert_eq!(service.requests() - before, asked, "{faults:?} {question}");
        }
    };
    check(&[], 1, Ok(())).await;
    check(&[Status(503)], 2, Ok(())).await;
    check(&[Status(429), Status(500)], 3, Ok(())).await;
    check(&[RetryAfter(503, 1)], 2, Ok(())).await;
    check(&[RetryAfter(503, 3_600)], 1, Err(ErrorKind::Throttled)).await;
    check(&[RetryAfter(429, u64::MAX)], 1, Err(ErrorKind::Throttled)).await;
    check(&[Status(503); 3], 3, Err(ErrorKind::Throttled)).await;
    check(&[Status(500); 3], 3, Err(ErrorKind::Unavailable)).await;
    check(&[], 1, Ok(())).await;
    // It is us whom they do not believe, or we who ask at a wrong place.
    for status in [400, 401, 403, 404, 302] {
        check(&[Status(status)], 1, Err(ErrorKind::Unavailable)).await;
        check(&[], 1, Ok(())).await;
    }
    check(&[Status(405)], 1, Err(ErrorKind::NotAllowed)).await;
    check(&[Garbage], 1, Err(ErrorKind::Corrupt)).await;
    check(&[Flood(9 << 20)], 1, Err(ErrorKind::Corrupt)).await;
}

fn hasty(service: &Service) -> HttpAccounts {
    let options = HttpOptions {
        timeout: Duration::from_millis(200),
        deadline: Duration::from_millis(900),
        ..options(service)
    };
    HttpAccounts::new(&Http::new(&options).unwrap(), WRITABLE)
}

async fn comes_back(accounts: &HttpAccounts, bob: &BareJid) {
    loop {
        match accounts.load(bob).await {
            Ok(found) => return assert!(found.is_some()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        // The breaker lets one through after a while.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_service_that_is_gone_is_asked_no_more_until_it_is_back() {
    let mut service = service().await;
    let (accounts, bob) = (hasty(&service), jid("bob@a.example"));
    accounts.create(&bob, Default::default(), 1).await.unwrap();
    service.stop();
    for _ in 0..10 {
        refused(accounts.load(&bob).await, ErrorKind::Unavailable);
        let found = accounts.check_password(&bob, "secret").await;
        refused(found, ErrorKind::Unavailable);
    }
    service.restart().await.unwrap();
    comes_back(&accounts, &bob).await;

    service.fail_always(Some(Fault::Silence));
    for _ in 0..5 {
        refused(accounts.load(&bob).await, ErrorKind::Unavailable);
    }
    // Now it is left alone: nothing is sent at all.
    let before = service.requests();
    refused(accounts.load(&bob).await, ErrorKind::Unavailable);
    assert_eq!(service.requests(), before);
    service.fail_always(None);
    comes_back(&accounts, &bob).await;
}

#[tokio::test]
async fn requests_are_bounded() {
    let service = service().await;
    let narrow = HttpOptions {
        connections: 1,
        attempts: 1,
        timeout: Duration::from_millis(400),
        deadline: Duration::from_millis(400),
        ..options(&service)
    };
    let accounts = HttpAccounts::new(&Http::new(&narrow).unwrap(), WRITABLE);
    let bob = jid("bob@a.example");
    service.fail_always(Some(Fault::Silence));
    let (a, b) = tokio::join!(accounts.load(&bob), accounts.load(&bob));
    let mut kinds = [a, b].map(|found| found.map_err(|error| error.kind()).unwrap_err());
    kinds.sort_by_key(|kind| *kind == ErrorKind::Unavailable);
    assert!(
        matches!(
            kinds,
            [
                ErrorKind::Throttled | ErrorKind::Unavailable,
                ErrorKind::Unavailable
            ]
        ),
        "{kinds:?}"
    );
    assert!(service.requests() <= 2);
}
