//! vCards and their index over a table and blobs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode, bytes::ByteVec};
use xmpp::BareJid;

use super::{
    Vcard, VcardField, VcardPage, VcardPhoto, VcardRepository,
    words::{normalised, words_of},
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{
        paging,
        record::{self, repeat_on_conflict},
        value::{Head, Loaded, Values},
    },
    shape::{Batch, Blobs, Condition, Consistency, Key, Query, Space, Table},
};

/// Longest vCard in bytes.
const MAX_BYTES: usize = 1 << 20;
/// How often a removal begins again when another was faster.
const MAX_ATTEMPTS: usize = 16;

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    xml: ByteVec,
    #[n(1)]
    photo_sha1: Option<String>,
    #[n(2)]
    words: Vec<(VcardField, String)>,
}

/// What is wanted at every login: it stands in the record, also of a large vCard.
#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredHead {
    #[n(0)]
    photo_sha1: Option<String>,
}

/// A row of the index. It names all words of its field, so that a search that meets several of them tells the owner
/// once: at the first.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Row {
    #[cbor(n(0), with = "crate::repository::record::jid")]
    owner: BareJid,
    #[n(1)]
    words: Vec<String>,
}

/// The implementation over a table and blobs.
pub struct TableVcards {
    values: Values,
}

impl TableVcards {
    /// vCards in this table; those of more than `inline_max` bytes in these blobs.
    pub fn new(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, inline_max: usize) -> Self {
        Self {
            values: Values::new(table, blobs, inline_max),
        }
    }

    async fn load(&self, key: &Key) -> Result<Option<(Stored, Loaded)>> {
        self.values.load(key).await?.map(decoded).transpose()
    }

    async fn remove_once(&self, owner: &BareJid) -> Result<()> {
        let key = key::of_account(owner, key::VCARD);
        let Some((old, found)) = self.load(&key).await? else {
            return Ok(());
        };
        self.values
            .remove(key, found, reindex(owner, &old.words, &[]))
            .await
    }
}

fn decoded(found: Loaded) -> Result<(Stored, Loaded)> {
    Ok((record::from_cbor(&found.body)?, found))
}

/// The changes of the index when these words become those. Rows of a field change if any word of it does.
fn reindex(owner: &BareJid, old: &[(VcardField, String)], new: &[(VcardField, String)]) -> Batch {
    let gone = old.iter().filter(|word| !new.contains(word));
    let batch = gone.fold(Batch::new(), |batch, (field, word)| {
        batch.delete(row_key(owner, *field, word), Condition::Any)
    });
    new.iter().fold(batch, |batch, (field, word)| {
        let words = of_field(new, *field);
        if words == of_field(old, *field) {
            return batch;
        }
        let row = record::to_cbor(&Row {
            owner: owner.clone(),
            words,
        });
        batch.put(
            row_key(owner, *field, word),
            record::seal(&row, 0).expect("a few words are short"),
            Condition::Any,
        )
    })
}

fn of_field(words: &[(VcardField, String)], field: VcardField) -> Vec<String> {
    words
        .iter()
        .filter(|(of, _)| *of == field)
        .map(|(_, word)| word.clone())
        .collect()
}

fn row_key(owner: &BareJid, field: VcardField, word: &str) -> Key {
    let sort = key::vcard_word(word, owner.local().unwrap_or_default());
    Key {
        space: Space::Idx,
        partition: key::vcard_words(owner.domain(), field.number()),
        sort,
    }
}

#[async_trait]
impl VcardRepository for TableVcards {
    async fn get(&self, owner: &BareJid) -> Result<Option<Vcard>> {
        let key = key::of_account(owner, key::VCARD);
        let found = self.values.load_cached(&key).await?;
        let found = found.map(decoded).transpose()?;
        Ok(found.map(|(stored, found)| Vcard {
            xml: Vec::from(stored.xml).into(),
            photo_sha1: stored.photo_sha1,
            searchable: stored.words,
            version: found.version,
        }))
    }

    async fn put(&self, owner: &BareJid, vcard: &Vcard, seen: u64) -> Result<u64> {
        if vcard.xml.len() > MAX_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("vcard of {} bytes", vcard.xml.len()),
            ));
        }
        let key = key::of_account(owner, key::VCARD);
        let old = self.load(&key).await?;
        let version = old.as_ref().map_or(0, |(_, found)| found.version);
        if version != seen {
            return Err(Error::new(ErrorKind::Conflict, "vcard changed"));
        }
        let words = words_of(&vcard.searchable);
        let index = reindex(
            owner,
            &old.map(|(old, _)| old.words).unwrap_or_default(),
            &words,
        );
        let stored = Stored {
            xml: vcard.xml.to_vec().into(),
            photo_sha1: vcard.photo_sha1.clone(),
            words,
        };
        let head = record::to_cbor(&StoredHead {
            photo_sha1: stored.photo_sha1.clone(),
        });
        let body = record::to_cbor(&stored);
        self.values
            .store_with_head(owner, key, &body, Some(head), seen, index)
            .await
    }

    async fn photo(&self, owner: &BareJid) -> Result<Option<VcardPhoto>> {
        let key = key::of_account(owner, key::VCARD);
        let Some((head, version)) = self.values.head(&key).await? else {
            return Ok(None);
        };
        let sha1 = match head {
            Head::Kept(head) => record::from_cbor::<StoredHead>(&head)?.photo_sha1,
            Head::Body(body) => record::from_cbor::<Stored>(&body)?.photo_sha1,
        };
        Ok(Some(VcardPhoto { sha1, version }))
    }

    async fn remove(&self, owner: &BareJid) -> Result<()> {
        repeat_on_conflict(MAX_ATTEMPTS, || self.remove_once(owner)).await
    }

    async fn search(
        &self,
        domain: &str,
        field: VcardField,
        prefix: &str,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<VcardPage> {
        let prefix = normalised(prefix);
        let beginning = key::vcard_word_prefix(&prefix);
        let mut query = Query {
            space: Space::Idx,
            partition: key::vcard_words(domain, field.number()),
            from: after
                .map(|after| key::successor(after))
                .or(Some(beginning.clone()).filter(|from| !from.is_empty())),
            until: key::prefix_end(&beginning),
            reverse: false,
            limit,
            consistency: Consistency::Eventual,
        };
        let mut page = VcardPage::default();
        while page.owners.len() < limit {
            query.limit = limit - page.owners.len();
            let (rows, more) = paging::next_page(&*self.values.table, &mut query).await?;
            page.next = rows.last().filter(|_| more).map(|row| row.sort.clone());
            for found in &rows {
                let row: Row = record::decode(found)?;
                let first = row.words.iter().find(|word| word.starts_with(&prefix));
                let local = row.owner.local().unwrap_or_default();
                if first.is_some_and(|first| found.sort == key::vcard_word(first, local)) {
                    page.owners.push(row.owner);
                }
            }
            if !more {
                break;
            }
        }
        Ok(page)
    }
}
