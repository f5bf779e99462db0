//! vCards and their index over a table and blobs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode, bytes::ByteVec};
use xmpp::BareJid;

use super::{
    MAX_TOLD, Vcard, VcardField, VcardPage, VcardPhoto, VcardRepository,
    words::{MIN_INSIDE, inside_of, normalised, words_of},
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
/// Values that a search tells at most.
const MAX_VALUES: usize = 24;
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
    /// What is found within words. Earlier versions had none.
    #[n(3)]
    inside: Option<Vec<String>>,
    /// What a search tells. Earlier versions had none.
    #[n(4)]
    told: Option<Vec<(VcardField, String)>>,
}

/// What is wanted at every login, and of everybody who was found: it stands in the record, also of a large vCard.
#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredHead {
    #[n(0)]
    photo_sha1: Option<String>,
    #[n(1)]
    told: Option<Vec<(VcardField, String)>>,
}

/// A word in the index: of which field, by its number; 0: what is within words of any.
type Word = (u8, String);

/// In the index: what is within words.
const INSIDE: u8 = 0;

impl Stored {
    fn indexed(&self) -> Vec<Word> {
        let words = self.words.iter();
        let words = words.map(|(field, word)| (field.number(), word.clone()));
        let inside = self.inside.iter().flatten();
        words
            .chain(inside.map(|word| (INSIDE, word.clone())))
            .collect()
    }
}

/// Values as a search tells them; no more than is read at once.
fn told_of(searchable: &[(VcardField, String)]) -> Vec<(VcardField, String)> {
    let cut = |(field, text): &(VcardField, String)| {
        (
            *field,
            text[..text.floor_char_boundary(MAX_TOLD)].to_owned(),
        )
    };
    searchable.iter().take(MAX_VALUES).map(cut).collect()
}

/// A row of the index. It names all words of its field, or of those within words such as begin as it does, so that a search that meets several of them tells the owner
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
            .remove(key, found, reindex(owner, &old.indexed(), &[]))
            .await
    }

    /// Owners who have a word in the index that begins so.
    async fn find(
        &self,
        domain: &str,
        field: u8,
        prefix: &str,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<VcardPage> {
        let prefix = normalised(prefix);
        let beginning = key::vcard_word_prefix(&prefix);
        let mut query = Query {
            space: Space::Idx,
            partition: key::vcard_words(domain, field),
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

fn decoded(found: Loaded) -> Result<(Stored, Loaded)> {
    Ok((record::from_cbor(&found.body)?, found))
}

/// The changes of the index when these words become those. Rows of a field change if any word of it does.
fn reindex(owner: &BareJid, old: &[Word], new: &[Word]) -> Batch {
    let gone = old.iter().filter(|word| !new.contains(word));
    let batch = gone.fold(Batch::new(), |batch, (field, word)| {
        batch.delete(row_key(owner, *field, word), Condition::Any)
    });
    new.iter().fold(batch, |batch, (field, word)| {
        let words = beside(new, *field, word);
        if words == beside(old, *field, word) {
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

/// The words that a search may meet which meets this one: those of its field, and of what is within words those that begin as
/// it does.
fn beside(words: &[Word], field: u8, word: &str) -> Vec<String> {
    let beginning = |word: &str| {
        let end = word.char_indices().nth(MIN_INSIDE).map(|(at, _)| at);
        word[..end.unwrap_or(word.len())].to_owned()
    };
    let of_word = beginning(word);
    words
        .iter()
        .filter(|(of, other)| *of == field && (field != INSIDE || beginning(other) == of_word))
        .map(|(_, word)| word.clone())
        .collect()
}

fn row_key(owner: &BareJid, field: u8, word: &str) -> Key {
    let sort = key::vcard_word(word, owner.local().unwrap_or_default());
    Key {
        space: Space::Idx,
        partition: key::vcard_words(owner.domain(), field),
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
        let stored = Stored {
            xml: vcard.xml.to_vec().into(),
            photo_sha1: vcard.photo_sha1.clone(),
            inside: Some(inside_of(&words)),
            words,
            told: Some(told_of(&vcard.searchable)),
        };
        let old = old.map(|(old, _)| old.indexed()).unwrap_or_default();
        let index = reindex(owner, &old, &stored.indexed());
        let head = record::to_cbor(&StoredHead {
            photo_sha1: stored.photo_sha1.clone(),
            told: stored.told.clone(),
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
        self.find(domain, field.number(), prefix, after, limit)
            .await
    }

    async fn search_inside(
        &self,
        domain: &str,
        text: &str,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<VcardPage> {
        self.find(domain, INSIDE, text, after, limit).await
    }

    async fn told(&self, owner: &BareJid) -> Result<Option<Vec<(VcardField, String)>>> {
        let key = key::of_account(owner, key::VCARD);
        let Some((head, _)) = self.values.head(&key).await? else {
            return Ok(None);
        };
        match head {
            Head::Kept(head) => {
                if let Some(told) = record::from_cbor::<StoredHead>(&head)?.told {
                    return Ok(Some(told));
                }
            }
            Head::Body(body) => {
                let stored: Stored = record::from_cbor(&body)?;
                return Ok(Some(stored.told.unwrap_or(stored.words)));
            }
        }
        Ok(self.get(owner).await?.map(|vcard| vcard.searchable))
    }
}
