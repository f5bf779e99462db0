//! Pages: what rooms publish of what is said in them, as objects that anybody may be given.
//!
//! ```text
//! public/rooms/ service / index.html                     the rooms that publish
//! public/rooms/ service / room / index.html              its months
//! public/rooms/ service / room / 2026-11 / index.html    the days of one
//! public/rooms/ service / room / 2026-11 / 23.html       a day, and 23.jsonl; 23-2.html: the second part of a long one
//! pages/ SHA-256 of the room / state                     how far its log is published ([`PagesState`])
//! pages/ SHA-256 of the room / 2026-11                   which numbers are on which page ([`MonthState`])
//! pages/ service / SHA-256 of the room                   that it publishes; holds its address
//! ```
//!
//! Why objects alone: pages follow from the log, so nothing but them says how far they are, and whoever serves the room
//! next goes on. Both states are changed by compare-and-set: of two nodes that publish a room one begins again.
//! What is at `public/` holds nothing else, so that a bucket may be opened to everybody there (`storage/aws`, `s3::key`).

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use super::record::{corrupt, from_cbor, to_cbor};
use crate::{
    error::Result,
    shape::{Blobs, PutIf},
};

/// Longest part of a path that is a name as it is; a longer one is cut, and told apart by a hash.
const MAX_NAME: usize = 120;
/// Objects of one request of a list.
const AT_ONCE: usize = 500;

/// How far a room's log is published.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct PagesState {
    /// When the room was made that this is about: one that has its name later is another.
    #[n(0)]
    pub created_ms: u64,
    /// All up to this number was looked at.
    #[n(1)]
    pub done: u64,
    /// The months with pages, `2026-11`, in order.
    #[n(2)]
    pub months: Vec<String>,
    /// The list of the service's rooms does not name it.
    #[cbor(n(3), default)]
    pub hidden: bool,
}

/// What is on the pages of a month.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct MonthState {
    /// By day of the month.
    #[n(0)]
    pub days: BTreeMap<u8, DayState>,
}

/// What is on the pages of a day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct DayState {
    /// Its parts, each a page; all but the last are full.
    #[n(0)]
    pub parts: Vec<PartState>,
    /// Messages that were taken back, whatever the log says of them.
    #[n(1)]
    pub retracted: Vec<u64>,
}

/// What is on one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct PartState {
    /// The number of its first message.
    #[n(0)]
    pub first: u64,
    /// The number of its last.
    #[n(1)]
    pub last: u64,
    /// How many there are.
    #[n(2)]
    pub messages: u32,
}

/// A state as it was read: a change of it names what was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen<T> {
    /// What it is; the default if there is none.
    pub state: T,
    tag: Option<String>,
}

impl<T> Seen<T> {
    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.tag.is_some()
    }
}

/// The pages.
#[derive(Clone)]
pub struct Pages {
    blobs: Arc<dyn Blobs>,
}

impl Pages {
    /// Pages among these objects.
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self { blobs }
    }

    /// A page by its path below `public/rooms/`; `None`: there is none, or no page has such a path.
    pub async fn page(&self, path: &str) -> Result<Option<Bytes>> {
        if !is_path(path) {
            return Ok(None);
        }
        let found = self.blobs.get(&format!("public/rooms/{path}")).await?;
        Ok(found.map(|found| found.bytes))
    }

    /// Puts a page.
    pub async fn put_page(&self, path: &str, bytes: Bytes) -> Result<()> {
        let key = format!("public/rooms/{path}");
        self.blobs.put(&key, bytes, PutIf::Any).await.map(drop)
    }

    /// How far a room is published.
    pub async fn state(&self, room: &BareJid) -> Result<Seen<PagesState>> {
        self.read(&state_key(room)).await
    }

    /// Puts it.
    ///
    /// # Errors
    /// `Conflict` if it is not what was seen.
    pub async fn put_state(&self, room: &BareJid, seen: &Seen<PagesState>) -> Result<()> {
        self.write(&state_key(room), seen).await
    }

    /// What is on the pages of a month.
    pub async fn month(&self, room: &BareJid, month: &str) -> Result<Seen<MonthState>> {
        self.read(&month_key(room, month)).await
    }

    /// Puts it.
    ///
    /// # Errors
    /// `Conflict` if it is not what was seen.
    pub async fn put_month(
        &self,
        room: &BareJid,
        month: &str,
        seen: &Seen<MonthState>,
    ) -> Result<()> {
        self.write(&month_key(room, month), seen).await
    }

    /// Notes that a room publishes, and writes the list of those of its service that do, as `render` makes it of their
    /// addresses.
    ///
    /// # Errors
    /// `Conflict` if others change it all the time.
    pub async fn list(
        &self,
        room: &BareJid,
        publishes: bool,
        render: impl Fn(&[BareJid]) -> Bytes + Send,
    ) -> Result<()> {
        let mark = format!("{}{}", marks(room.domain()), hash(room));
        let address = Bytes::copy_from_slice(room.as_str().as_bytes());
        match publishes {
            true => drop(self.blobs.put(&mark, address, PutIf::Any).await?),
            false => self.blobs.remove(&mark).await?,
        }
        let key = format!("public/rooms/{}/index.html", segment(room.domain()));
        for _ in 0..8 {
            // What is written is never older than what was read: whoever notes something later writes later.
            let before = self.blobs.get(&key).await?;
            let bytes = render(&self.publishing(room.domain()).await?);
            let condition = before.map_or(PutIf::Absent, |it| PutIf::Match(it.tag));
            match self.blobs.put(&key, bytes, condition).await {
                Err(error) if error.kind() == crate::ErrorKind::Conflict => {}
                written => return written.map(drop),
            }
        }
        Err(crate::Error::conflict(0, None))
    }

    async fn publishing(&self, service: &str) -> Result<Vec<BareJid>> {
        let (beginning, mut rooms) = (marks(service), Vec::new());
        let mut after: Option<String> = None;
        loop {
            let keys = self.blobs.list(&beginning, after.as_deref(), AT_ONCE);
            let keys = keys.await?;
            let Some(last) = keys.last() else { break };
            after = Some(last.clone());
            for key in &keys {
                let found = self.blobs.get(key).await?;
                let address = found.as_ref().map(|it| std::str::from_utf8(&it.bytes));
                let room = address.and_then(|it| BareJid::parse(it.ok()?).ok());
                rooms.extend(room);
            }
        }
        rooms.sort_unstable();
        Ok(rooms)
    }

    /// Removes all that a room has published. Repeatable.
    pub async fn erase(&self, room: &BareJid) -> Result<()> {
        for beginning in [format!("public/rooms/{}/", place(room)), of_room(room)] {
            loop {
                let keys = self.blobs.list(&beginning, None, AT_ONCE).await?;
                if keys.is_empty() {
                    break;
                }
                for key in keys {
                    self.blobs.remove(&key).await?;
                }
            }
        }
        Ok(())
    }

    async fn read<T: Default + for<'b> Decode<'b, ()>>(&self, key: &str) -> Result<Seen<T>> {
        let Some(found) = self.blobs.get(key).await? else {
            return Ok(Seen::default());
        };
        let state =
            from_cbor(&found.bytes).map_err(|it| corrupt("a state of pages").with_source(it))?;
        Ok(Seen {
            state,
            tag: Some(found.tag),
        })
    }

    async fn write<T: Encode<()>>(&self, key: &str, seen: &Seen<T>) -> Result<()> {
        let condition = seen.tag.clone().map_or(PutIf::Absent, PutIf::Match);
        let bytes = to_cbor(&seen.state).into();
        self.blobs.put(key, bytes, condition).await.map(drop)
    }
}

/// Where the pages of a room are, below `public/rooms/`: names that mean themselves in a URL.
pub fn place(room: &BareJid) -> String {
    let local = room.local().unwrap_or_default();
    format!("{}/{}", segment(room.domain()), segment(local))
}

fn segment(name: &str) -> String {
    let mut out = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        match plain || (byte == b'.' && at > 0) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("~{byte:02x}")),
        }
    }
    if out.len() > MAX_NAME {
        out.truncate(MAX_NAME / 2);
        out.push_str("~~");
        out.push_str(&hexadecimal(name.as_bytes()));
    }
    out
}

fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~/".contains(&byte);
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('.');
    path.len() <= 512 && path.bytes().all(plain) && path.split('/').all(is_name)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    hash.as_ref().iter().map(|it| format!("{it:02x}")).collect()
}

fn hash(room: &BareJid) -> String {
    hexadecimal(room.as_str().as_bytes())
}

fn of_room(room: &BareJid) -> String {
    format!("pages/{}/", hash(room))
}

fn state_key(room: &BareJid) -> String {
    format!("{}state", of_room(room))
}

fn month_key(room: &BareJid, month: &str) -> String {
    format!("{}{month}", of_room(room))
}

fn marks(service: &str) -> String {
    format!("pages/{}/", segment(service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, backend::memory::MemoryBlobs};

    fn room(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    #[test]
    fn places_are_names_that_mean_themselves() {
        let check = |address: &str, expected: &str| {
            assert_eq!(place(&room(address)), expected);
            assert!(is_path(expected), "{expected}");
        };
        check("cave@rooms.example", "rooms.example/cave");
        check("a.b_c-1@rooms.example", "rooms.example/a.b_c-1");
        check("..@rooms.example", "rooms.example/~2e.");
        check("höhle%2f@rooms.example", "rooms.example/h~c3~b6hle~252f");
        let long = place(&room(&format!("{}@r.example", "x".repeat(900))));
        assert!(is_path(&long) && long.len() < 200, "{long}");
        let other = place(&room(&format!("{}@r.example", "x".repeat(901))));
        assert_ne!(long, other);
        for wrong in [
            "", "/", "a//b", "../x", "a/../b", "a/", "a b", "a?b", "a/.x", "a%20",
        ] {
            assert!(!is_path(wrong), "{wrong}");
        }
    }

    #[tokio::test]
    async fn of_two_who_publish_one_begins_again() {
        let pages = Pages::new(Arc::new(MemoryBlobs::new()));
        let cave = room("cave@rooms.example");
        let first = pages.state(&cave).await.unwrap();
        assert!(!first.is_there());
        pages.put_state(&cave, &first).await.unwrap();
        let error = pages.put_state(&cave, &first).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let mut seen = pages.state(&cave).await.unwrap();
        seen.state.done = 7;
        pages.put_state(&cave, &seen).await.unwrap();
        assert_eq!(pages.state(&cave).await.unwrap().state.done, 7);
        assert!(pages.put_state(&cave, &seen).await.is_err());
    }

    #[tokio::test]
    async fn rooms_are_listed_and_erased() {
        let pages = Pages::new(Arc::new(MemoryBlobs::new()));
        let render = |rooms: &[BareJid]| Bytes::from(format!("{rooms:?}"));
        let (a, b) = (room("a@rooms.example"), room("b@rooms.example"));
        for room in [&b, &a] {
            pages.list(room, true, render).await.unwrap();
            let path = format!("{}/2026-11/23.html", place(room));
            pages.put_page(&path, "page".into()).await.unwrap();
            let seen = pages.state(room).await.unwrap();
            pages.put_state(room, &seen).await.unwrap();
        }
        let listed = pages
            .page("rooms.example/index.html")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(listed, render(&[a.clone(), b.clone()]));
        pages.erase(&a).await.unwrap();
        pages.list(&a, false, render).await.unwrap();
        assert_eq!(
            pages.page("rooms.example/a/2026-11/23.html").await.unwrap(),
            None
        );
        assert!(!pages.state(&a).await.unwrap().is_there());
        assert!(pages.state(&b).await.unwrap().is_there());
        assert!(
            pages
                .page("rooms.example/b/2026-11/23.html")
                .await
                .unwrap()
                .is_some()
        );
        let listed = pages
            .page("rooms.example/index.html")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(listed, render(&[b]));
    }
}
