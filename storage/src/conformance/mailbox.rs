//! Mailboxes: of two writes at once one is refused.

use super::{done, jid, refused};
use crate::{
    error::ErrorKind,
    repository::{Mailbox, MailboxRepository},
};

/// Runs all of it.
pub async fn mailboxes(repo: &dyn MailboxRepository) {
    let account = jid("bob@mailbox.example");
    assert_eq!(done(repo.load(&account).await), Mailbox::default());
    let full = Mailbox {
        acked: 70_000,
        undelivered: vec![12, 69_999],
        last_active_ms: 1_700_000_000_000,
        last_status: Some("gone fishing".into()),
        version: 0,
    };
    assert_eq!(done(repo.store(&account, &full, 0).await), 1);
    assert_eq!(
        done(repo.load(&account).await),
        Mailbox {
            version: 1,
            ..full.clone()
        }
    );

    let until = |acked| Mailbox {
        acked,
        ..full.clone()
    };
    let (first, second) = (until(70_001), until(70_002));
    let (a, b) = tokio::join!(
        repo.store(&account, &first, 1),
        repo.store(&account, &second, 1)
    );
    assert!(a.is_ok() != b.is_ok(), "just one write wins");
    refused(a.and(b), ErrorKind::Conflict);
    assert_eq!(done(repo.load(&account).await).version, 2);

    let endless = Mailbox {
        undelivered: (0..=Mailbox::MAX_UNDELIVERED as u64).collect(),
        ..full
    };
    refused(repo.store(&account, &endless, 2).await, ErrorKind::TooLarge);
}
