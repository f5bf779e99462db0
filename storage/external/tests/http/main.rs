//! A service over HTTPS: the conformance kit, failures of every kind, who is believed, and what goes over the wire.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod conformance;
mod faults;
mod openapi;
mod trust;

use std::time::Duration;

use reference_service::{Options, Service};
use storage::repository::ScramHashes;
use storage_external::http::{Http, HttpAccountOptions, HttpAccounts, HttpOptions};
use xmpp::BareJid;

const WRITABLE: HttpAccountOptions = HttpAccountOptions {
    writable: true,
    scram: ScramHashes::ALL,
};

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

async fn service() -> Service {
    Service::start(Options::default()).await.unwrap()
}

fn options(service: &Service) -> HttpOptions {
    HttpOptions {
        url: service.url(),
        timeout: Duration::from_secs(20),
        deadline: Duration::from_secs(60),
        ..HttpOptions::default()
    }
}

fn http(service: &Service) -> Http {
    Http::new(&options(service)).unwrap()
}

fn accounts(service: &Service) -> HttpAccounts {
    HttpAccounts::new(&http(service), WRITABLE)
}

#[track_caller]
fn refused<T>(result: storage::Result<T>, kind: storage::ErrorKind) {
    match result {
        Ok(_) => panic!("{kind:?} expected, an answer found"),
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
    }
}
