//! vCards: the index follows the vCard, a search is exact and tells nobody twice.

use std::slice;

use bytes::Bytes;
use xmpp::BareJid;

use super::{done, jid, refused};
use crate::{
    error::ErrorKind,
    repository::{Vcard, VcardField, VcardPhoto, VcardRepository},
};

fn vcard(words: &[(VcardField, &str)]) -> Vcard {
    Vcard {
        xml: Bytes::from_static(b"<vCard xmlns='vcard-temp'/>"),
        photo_sha1: Some("da39a3ee5e6b4b0d3255bfef95601890afd80709".into()),
        searchable: words
            .iter()
            .map(|(field, word)| (*field, (*word).to_owned()))
            .collect(),
        version: 0,
    }
}

async fn search(
    repo: &dyn VcardRepository,
    field: VcardField,
    prefix: &str,
    limit: usize,
) -> Vec<BareJid> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = done(
            repo.search("vcard.example", field, prefix, after.as_ref(), limit)
                .await,
        );
        assert!(page.owners.len() <= limit);
        found.extend(page.owners);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

async fn inside(repo: &dyn VcardRepository, text: &str, limit: usize) -> Vec<BareJid> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = repo.search_inside("vcard.example", text, after.as_ref(), limit);
        let page = done(page.await);
        assert!(page.owners.len() <= limit);
        found.extend(page.owners);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

/// Runs all of it.
pub async fn vcards(repo: &dyn VcardRepository) {
    use VcardField::{FullName, Given, Locality};
    let (ann, annabel, bob) = (
        jid("ann@vcard.example"),
        jid("annabel@vcard.example"),
        jid("bob@vcard.example"),
    );
    assert_eq!(done(repo.get(&ann).await), None);
    done(repo.remove(&ann).await);

    assert_eq!(
        done(
            repo.put(
                &ann,
                &vcard(&[(FullName, "Ann ANNE Annis"), (Given, "Ann")]),
                0
            )
            .await
        ),
        1
    );
    done(
        repo.put(&annabel, &vcard(&[(FullName, "Annabel Smith")]), 0)
            .await,
    );
    done(
        repo.put(
            &bob,
            &vcard(&[(FullName, "Bob Smith"), (Locality, "Annecy")]),
            0,
        )
        .await,
    );
    done(
        repo.put(
            &jid("ann@vcard.example.org"),
            &vcard(&[(FullName, "Ann")]),
            0,
        )
        .await,
    );
    let found = done(repo.get(&ann).await).expect("just put");
    assert_eq!((found.xml, found.version), (vcard(&[]).xml, 1));
    assert_eq!(found.photo_sha1, vcard(&[]).photo_sha1);
    let photo = |version| {
        let sha1 = vcard(&[]).photo_sha1;
        Some(VcardPhoto { sha1, version })
    };
    assert_eq!(done(repo.photo(&ann).await), photo(1));

    for limit in [1, 2, 100] {
        assert_eq!(
            search(repo, FullName, "ann", limit).await,
            [ann.clone(), annabel.clone()]
        );
        assert_eq!(
            search(repo, FullName, "Anne", limit).await,
            slice::from_ref(&ann)
        );
        assert_eq!(
            search(repo, FullName, "SMITH", limit).await,
            [annabel.clone(), bob.clone()]
        );
        assert_eq!(
            search(repo, Locality, "ann", limit).await,
            slice::from_ref(&bob)
        );
        assert_eq!(search(repo, Given, "b", limit).await, []);
        assert_eq!(
            search(repo, FullName, "", limit).await,
            [ann.clone(), annabel.clone(), bob.clone()]
        );
    }

    let told = done(repo.told(&bob).await).expect("just put");
    let expected = [(FullName, "Bob Smith"), (Locality, "Annecy")];
    assert_eq!(told, expected.map(|(field, text)| (field, text.to_owned())));
    assert_eq!(done(repo.told(&jid("nobody@vcard.example")).await), None);
    for limit in [1, 2, 100] {
        assert_eq!(inside(repo, "nab", limit).await, slice::from_ref(&annabel));
        assert_eq!(
            inside(repo, "MITH", limit).await,
            [annabel.clone(), bob.clone()]
        );
        assert_eq!(inside(repo, "smith", limit).await, []);
        assert_eq!(inside(repo, "nne", limit).await, [ann.clone(), bob.clone()]);
    }

    refused(repo.put(&ann, &vcard(&[]), 0).await, ErrorKind::Conflict);
    let noise: Vec<u8> = (0..60_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let large = Vcard {
        xml: noise.into(),
        ..vcard(&[(FullName, "Anne"), (Given, "Ann")])
    };
    assert_eq!(done(repo.put(&ann, &large, 1).await), 2);
    assert_eq!(
        done(repo.get(&ann).await).map(|found| found.xml),
        Some(large.xml)
    );
    assert_eq!(done(repo.photo(&ann).await), photo(2));
    assert_eq!(
        search(repo, FullName, "ann", 1).await,
        [annabel.clone(), ann.clone()]
    );
    assert_eq!(search(repo, FullName, "annis", 1).await, []);
    assert_eq!(inside(repo, "nnis", 1).await, []);
    assert_eq!(inside(repo, "nne", 1).await, [ann.clone(), bob.clone()]);
    let told = done(repo.told(&ann).await).expect("just put");
    assert_eq!(told, large.searchable);
    assert_eq!(search(repo, Given, "ann", 1).await, slice::from_ref(&ann));

    for owner in [&ann, &annabel, &bob] {
        done(repo.remove(owner).await);
        assert_eq!(done(repo.get(owner).await), None);
        assert_eq!(done(repo.photo(owner).await), None);
    }
    assert_eq!(search(repo, FullName, "", 10).await, []);
    assert_eq!(search(repo, Given, "", 10).await, []);
    for text in ["nne", "nab", "mit"] {
        assert_eq!(inside(repo, text, 10).await, []);
    }
    let huge = Vcard {
        xml: vec![b'x'; 2 << 20].into(),
        ..vcard(&[])
    };
    refused(repo.put(&ann, &huge, 0).await, ErrorKind::TooLarge);
}
