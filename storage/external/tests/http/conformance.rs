//! What every repository must pass, against the service.

use storage::{
    conformance::{accounts, logs, read_only_accounts, rosters},
    repository::{AccountRepository as _, PasswordVerdict, Roster, RosterRepository as _},
};
use storage_external::http::{HttpAccountOptions, HttpAccounts, HttpLogs, HttpRosters};
use tokio::runtime::Handle;

use crate::{http, jid, refused, service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_of_a_service() {
    let service = service().await;
    accounts(&crate::accounts(&service)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rosters_of_a_service() {
    let service = service().await;
    rosters(&HttpRosters::new(&http(&service), true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_a_service() {
    let service = service().await;
    logs(&HttpLogs::new(&http(&service), Handle::current())).await;
}

#[tokio::test]
async fn a_service_that_only_verifies_passwords() {
    use PasswordVerdict::{Disabled, Expired, Right, Wrong};
    let service = service().await;
    let (bob, nobody) = (jid("bob@a.example"), jid("nobody@a.example"));
    let created = service.accounts().create(&bob, Default::default(), 1).await;
    created.unwrap();
    let accounts = HttpAccounts::new(&http(&service), HttpAccountOptions::default());
    assert!(accounts.capabilities("a.example").verifies_passwords());
    read_only_accounts(&accounts, &bob, &nobody).await;
    let check = async |account, password: &str, expected| {
        let found = accounts.check_password(account, password).await;
        assert_eq!(found.unwrap(), expected, "{account} {password:?}");
    };
    for (verdict, expected) in [
        ("right", Right),
        ("disabled", Disabled),
        ("expired", Expired),
    ] {
        service.set_password(&bob, "s\"ecret ü", verdict);
        check(&bob, "s\"ecret ü", expected).await;
        check(&bob, "secret", Wrong).await;
    }
    check(&nobody, "secret", Wrong).await;
    // Nobody is asked about no password.
    service.set_password(&bob, "", "right");
    check(&bob, "", Wrong).await;
}

#[tokio::test]
async fn rosters_that_can_only_be_read() {
    let service = service().await;
    let (bob, http) = (jid("bob@a.example"), http(&service));
    let writable = HttpRosters::new(&http, true);
    writable.store(&bob, &Roster::default(), 0).await.unwrap();
    let rosters = HttpRosters::new(&http, false);
    assert!(!rosters.is_writable("a.example"));
    let stored = rosters.store(&bob, &Roster::default(), 1).await;
    refused(stored, storage::ErrorKind::NotAllowed);
    assert_eq!(rosters.load(&bob).await.unwrap().version, 1);
}
