//! Privacy lists: every kind of rule comes back.

use super::{done, jid, refused};
use crate::{
    error::ErrorKind,
    repository::{
        PrivacyAction, PrivacyData, PrivacyItem, PrivacyMatch, PrivacyRepository, StanzaKinds,
        Subscription,
    },
};

/// Runs all of it.
pub async fn privacy(repo: &dyn PrivacyRepository) {
    let owner = jid("bob@privacy.example");
    assert_eq!(done(repo.load(&owner).await), PrivacyData::default());
    let rules = [
        (
            PrivacyAction::Deny,
            PrivacyMatch::Jid("spam.example".into()),
            StanzaKinds::ALL,
        ),
        (
            PrivacyAction::Allow,
            PrivacyMatch::Group("Friends".into()),
            StanzaKinds::MESSAGE | StanzaKinds::IQ,
        ),
        (
            PrivacyAction::Deny,
            PrivacyMatch::Subscription(Subscription::None),
            StanzaKinds::PRESENCE_IN,
        ),
        (
            PrivacyAction::Deny,
            PrivacyMatch::All,
            StanzaKinds::PRESENCE_OUT,
        ),
    ];
    let item = |(order, (action, matches, stanzas))| PrivacyItem {
        order,
        action,
        matches,
        stanzas,
    };
    let list: Vec<_> = (1..).zip(rules).map(item).collect();
    let blocked = |n| {
        item((
            n,
            (
                PrivacyAction::Deny,
                PrivacyMatch::Jid(format!("spammer{n}@spam.example")),
                StanzaKinds::ALL,
            ),
        ))
    };
    let lists = [
        ("public".to_owned(), list),
        ("blocklist".to_owned(), (0..5_000).map(blocked).collect()),
    ];
    let data = PrivacyData {
        lists: lists.into(),
        default: Some("public".into()),
        version: 0,
    };
    assert_eq!(done(repo.store(&owner, &data, 0).await), 1);
    assert_eq!(
        done(repo.load(&owner).await),
        PrivacyData {
            version: 1,
            ..data.clone()
        }
    );
    refused(repo.store(&owner, &data, 0).await, ErrorKind::Conflict);
    assert_eq!(
        done(repo.store(&owner, &PrivacyData::default(), 1).await),
        2
    );
    assert_eq!(
        done(repo.load(&owner).await),
        PrivacyData {
            version: 2,
            ..PrivacyData::default()
        }
    );
}
