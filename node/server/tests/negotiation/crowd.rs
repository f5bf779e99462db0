//! Many who come at once, and a store that asks for less: nobody is told that a password is wrong when it is right.

use std::{sync::Arc, time::Duration};

use starling::config::{LoginLimits, Security};
use storage::{
    ErrorKind, Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    layer::{
        Faulty, Switchboard,
        faulty::{Fault, When},
    },
};
use xmpp::sasl::Hash;

use crate::{
    fast::{FAST, NONE, log_in, request},
    login::{failure, plain_auth, scram_login},
    server::Server,
};

const LATER: &str = "temporary-auth-failure";

async fn limited(per_second: u32, wait: Duration) -> Server {
    let change = |config: &mut starling::config::Config| {
        config.limits.logins = LoginLimits { per_second, wait };
    };
    Server::with(Security::StartTls { required: true }, change).await
}

#[tokio::test]
async fn who_would_wait_for_too_long_is_told_to_come_again() {
    const CROWD: usize = 20;
    let server = limited(1, Duration::ZERO).await;
    let mut peers = Vec::new();
    for _ in 0..CROWD {
        peers.push(server.secured().await.0);
    }
    let mut told = 0;
    for peer in &mut peers {
        let answer = peer.ask(&plain_auth("juliet", "r0m30")).await;
        if answer.name() != "success" {
            assert_eq!(failure(&answer), LATER);
            told += 1;
        }
    }
    // A second's worth is one.
    assert!(0 < told && told < CROWD, "{told}");
    assert_eq!(server.router.metrics.logins_deferred.get(), told as u64);
    assert_eq!(server.logins("temporary"), told as u64);
    assert_eq!(server.logins("not_authorized"), 0);
    // A wrong password is one all the same, when it is its turn, and whoever was told to come again does.
    let mut peer = server.secured().await.0;
    loop {
        let answer = failure(&peer.ask(&plain_auth("juliet", "wrong")).await);
        if answer != LATER {
            assert_eq!(answer, "not-authorized");
            break;
        }
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
}

#[tokio::test]
async fn who_waits_for_a_moment_logs_in() {
    let server = limited(2, Duration::from_secs(30)).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let mut peer = server.secured().await.0;
        crowd.spawn(async move { peer.ask(&plain_auth("juliet", "r0m30")).await });
    }
    for answer in crowd.join_all().await {
        assert_eq!(answer.name(), "success");
    }
    let metrics = &server.router.metrics;
    assert_eq!(
        (metrics.logins_deferred.get(), metrics.logins_waiting.get()),
        (0, 0)
    );
}

#[tokio::test]
async fn a_store_that_throttles_makes_no_password_wrong() {
    let switchboard = Switchboard::new(7);
    switchboard.switch(false);
    let faulty = switchboard.clone();
    let replace = move |stores: &mut Stores| {
        let table = Arc::new(Faulty::new(Arc::new(MemoryTable::new()), faulty));
        stores.accounts = Stores::over(table, Arc::new(MemoryBlobs::new())).accounts;
    };
    let security = Security::StartTls { required: true };
    let server = Server::with_stores(security, |_| {}, replace).await;
    let token = request(&server, NONE).await;
    let throttles = Fault::Fail(ErrorKind::Throttled);
    switchboard.add(|_| true, When::Probability(0.4), throttles);
    switchboard.switch(true);
    let (mut logged_in, mut later) = (0, 0);
    for round in 0..36 {
        let answer = match round % 3 {
            0 => {
                let mut peer = server.secured().await.0;
                peer.ask(&plain_auth("juliet", "r0m30")).await
            }
            1 => scram_login(&server, Hash::Sha256).await,
            _ => log_in(&server, &token, FAST).await,
        };
        if answer.name() == "success" {
            logged_in += 1;
        } else {
            assert_eq!(failure(&answer), LATER);
            later += 1;
        }
    }
    assert!(logged_in > 0 && later > 0, "{logged_in} {later}");
    assert_eq!(server.logins("temporary"), later);
    assert_eq!(server.logins("not_authorized"), 0);
}
