//! Read-only: every write is refused, and nothing has changed.

use super::{done, refused};
use crate::{
    error::ErrorKind::NotAllowed,
    repository::{
        AccountRepository, AgentTokens, Credentials, FastToken, GroupMember, SharedGroup,
        SharedGroupRepository, Vcard, VcardRepository,
    },
};
use xmpp::BareJid;

/// Accounts that cannot be changed; `known` is one of them, `unknown` is none.
pub async fn read_only_accounts(repo: &dyn AccountRepository, known: &BareJid, unknown: &BareJid) {
    assert!(!repo.capabilities(known.domain()).writable);
    let before = done(repo.load(known).await).expect("a known account");
    assert_eq!(done(repo.load(unknown).await), None);
    let keys = Credentials::default;
    for account in [known, unknown] {
        refused(repo.create(account, keys(), 1).await, NotAllowed);
        for seen in [0, before.version] {
            refused(
                repo.set_credentials(account, keys(), seen).await,
                NotAllowed,
            );
            refused(repo.set_disabled(account, true, seen).await, NotAllowed);
        }
        refused(repo.remove(account).await, NotAllowed);
        refused(repo.begin_erasure(account).await, NotAllowed);
        refused(repo.end_erasure(account).await, NotAllowed);
        assert!(!done(repo.is_being_removed(account).await));
        let tokens = AgentTokens {
            current: FastToken {
                mechanism: "HT-SHA-256-NONE".into(),
                secret: b"secret".to_vec(),
                issued_ms: 0,
                expires_ms: u64::MAX,
                count: 0,
            },
            previous: None,
            version: 0,
        };
        refused(
            repo.put_tokens(account, "agent", &tokens, 0).await,
            NotAllowed,
        );
        assert_eq!(done(repo.tokens(account, "agent").await), None);
    }
    assert_eq!(done(repo.removals(known.domain(), None, 9).await), [""; 0]);
    assert_eq!(done(repo.load(known).await), Some(before));
    assert_eq!(done(repo.load(unknown).await), None);
}

/// vCards that cannot be changed.
pub async fn read_only_vcards(repo: &dyn VcardRepository, known: &BareJid, unknown: &BareJid) {
    assert!(!repo.is_writable(known.domain()));
    let before = done(repo.get(known).await).expect("a known vcard");
    let photo = done(repo.photo(known).await).expect("a known vcard");
    assert_eq!(photo.sha1, before.photo_sha1);
    assert_eq!(done(repo.get(unknown).await), None);
    assert_eq!(done(repo.photo(unknown).await), None);
    for owner in [known, unknown] {
        for seen in [0, before.version] {
            refused(repo.put(owner, &Vcard::default(), seen).await, NotAllowed);
        }
        refused(repo.remove(owner).await, NotAllowed);
    }
    assert_eq!(done(repo.get(known).await), Some(before));
    assert_eq!(done(repo.get(unknown).await), None);
}

/// Shared groups that cannot be changed; `known` is one of the domain.
pub async fn read_only_shared_groups(repo: &dyn SharedGroupRepository, domain: &str, known: &str) {
    assert!(!repo.is_writable(domain));
    let before = done(repo.load(domain, known).await).expect("a known group");
    let members = done(repo.members(domain, known, None, 1_000).await);
    let new = SharedGroup::new("a group that nobody has");
    let member = GroupMember {
        jid: super::jid("nobody@elsewhere.example"),
        name: None,
    };
    for group in [&before, &new] {
        refused(repo.put(domain, group, group.version).await, NotAllowed);
        refused(repo.remove(domain, &group.id).await, NotAllowed);
        let added = std::slice::from_ref(&member);
        refused(repo.put_members(domain, &group.id, added).await, NotAllowed);
        let removed = std::slice::from_ref(&member.jid);
        refused(
            repo.remove_members(domain, &group.id, removed).await,
            NotAllowed,
        );
    }
    assert_eq!(done(repo.load(domain, known).await), Some(before));
    assert_eq!(done(repo.load(domain, &new.id).await), None);
    assert_eq!(
        done(repo.members(domain, known, None, 1_000).await),
        members
    );
    shared_group_pages(repo, domain).await;
}

/// Pages of groups and of members are what the whole is, however they are cut.
pub async fn shared_group_pages(repo: &dyn SharedGroupRepository, domain: &str) {
    let all = done(repo.list(domain, None, 10_000).await);
    assert!(all.is_sorted(), "{all:?}");
    for limit in [1, 2, 7] {
        let mut found: Vec<String> = Vec::new();
        loop {
            let after = found.last().cloned();
            let page = done(repo.list(domain, after.as_deref(), limit).await);
            let last = page.len() < limit;
            found.extend(page);
            if last {
                break;
            }
        }
        assert_eq!(found, all, "{limit} at once");
    }
    for group in &all {
        let known = done(repo.load(domain, group).await).expect("what is listed is there");
        assert_eq!(known.id, *group);
        let whole = done(
            repo.members(domain, group, None, SharedGroup::MAX_MEMBERS)
                .await,
        );
        assert!(whole.is_sorted_by(|a, b| a.jid < b.jid), "{group}");
        let mut found: Vec<GroupMember> = Vec::new();
        loop {
            let after = found.last().map(|member| member.jid.clone());
            let page = done(repo.members(domain, group, after.as_ref(), 7).await);
            let last = page.len() < 7;
            found.extend(page);
            if last {
                break;
            }
        }
        assert_eq!(found, whole, "{group}");
    }
}
