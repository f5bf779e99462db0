//! Reading a few things out of a stanza's bytes, and templates for what is sent.
//!
//! Source: RFC 6120 §8. Why here: [`super::scanner`] finds the bytes, this reads them, and nothing allocates.

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Instant;

use memchr::memmem;

/// The element's name, with its prefix.
#[must_use]
pub fn name(stanza: &[u8]) -> &[u8] {
    let from = usize::from(stanza.first() == Some(&b'<'));
    let length = stanza[from..]
        .iter()
        .take_while(|byte| !matches!(byte, b' ' | b'>' | b'/' | b'\t' | b'\n' | b'\r'));
    &stanza[from..from + length.count()]
}

/// The value of an attribute of the first tag, as it stands there.
#[must_use]
pub fn attribute<'a>(stanza: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let mut at = 1 + name(stanza).len();
    loop {
        at += stanza
            .get(at..)?
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        let equals = at
            + stanza[at..]
                .iter()
                .position(|byte| matches!(byte, b'=' | b'>' | b'/'))?;
        if stanza[equals] != b'=' {
            return None;
        }
        let quote = *stanza.get(equals + 1)?;
        let end = equals + 2 + memchr::memchr(quote, &stanza[equals + 2..])?;
        if stanza[at..equals].trim_ascii_end() == wanted.as_bytes() {
            return Some(&stanza[equals + 2..end]);
        }
        at = end + 1;
    }
}

/// The text between `open` and the next `<`.
#[must_use]
pub fn text<'a>(stanza: &'a [u8], open: &str) -> Option<&'a [u8]> {
    let from = memmem::find(stanza, open.as_bytes())? + open.len();
    let length = memchr::memchr(b'<', &stanza[from..])?;
    Some(&stanza[from..from + length])
}

/// True if `needle` stands anywhere in the stanza.
#[must_use]
pub fn contains(stanza: &[u8], needle: &str) -> bool {
    memmem::find(stanza, needle.as_bytes()).is_some()
}

/// Nanoseconds since the program's first call.
#[must_use]
pub fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What a measured stanza carries in its text: who sent it, the how-manieth it is, and when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Index of the sender.
    pub sender: u32,
    /// Number of this stanza from this sender.
    pub sequence: u32,
    /// [`now`] when it was queued.
    pub sent: u64,
}

/// Length of a written stamp.
pub const STAMP: usize = 1 + 8 + 8 + 16;

impl Stamp {
    /// Writes the stamp into `hole`, which is [`STAMP`] bytes long: `~`, then three hexadecimal numbers.
    pub fn write(self, hole: &mut [u8]) {
        hole[0] = b'~';
        hex(u64::from(self.sender), &mut hole[1..9]);
        hex(u64::from(self.sequence), &mut hole[9..17]);
        hex(self.sent, &mut hole[17..33]);
    }

    /// Finds the stamp in a stanza.
    #[must_use]
    pub fn find(stanza: &[u8]) -> Option<Self> {
        let from = memchr::memchr(b'~', stanza)? + 1;
        let digits = stanza.get(from..from + STAMP - 1)?;
        Some(Self {
            sender: u32::try_from(unhex(&digits[..8])?).ok()?,
            sequence: u32::try_from(unhex(&digits[8..16])?).ok()?,
            sent: unhex(&digits[16..])?,
        })
    }
}

fn hex(mut value: u64, hole: &mut [u8]) {
    for byte in hole.iter_mut().rev() {
        *byte = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn unhex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

/// A stanza with a hole for its stamp.
pub struct Template {
    bytes: Vec<u8>,
    hole: usize,
    id: Option<usize>,
}

impl Template {
    /// A chat message to `to` with a body of `length` bytes, stamp included.
    #[must_use]
    pub fn message(to: &str, length: usize) -> Self {
        let head = format!("<message to='{to}' type='chat' id='m");
        Self::of(&head, "<body>", length, "</body></message>")
    }

    /// A message to all in a room, as [`Template::message`].
    #[must_use]
    pub fn groupchat(room: &str, length: usize) -> Self {
        let head = format!("<message to='{room}' type='groupchat' id='m");
        Self::of(&head, "<body>", length, "</body></message>")
    }

    /// The publication of an item with so much text, at a service or the account's own node.
    #[must_use]
    pub fn publication(service: Option<&str>, node: &str, length: usize) -> Self {
        let to = service.map_or(String::new(), |service| format!(" to='{service}'"));
        let head = format!("<iq type='set'{to} id='m");
        let open = format!(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{node}'><item>\
             <entry xmlns='urn:load:0'>"
        );
        Self::of(
            &head,
            &open,
            length,
            "</entry></item></publish></pubsub></iq>",
        )
    }

    /// The number of the stanza that an answer of this id is to.
    #[must_use]
    pub fn sequence(id: &[u8]) -> Option<u32> {
        u32::try_from(unhex(id.strip_prefix(b"m")?)?).ok()
    }

    fn of(head: &str, open: &str, length: usize, close: &str) -> Self {
        let filler = "The quick brown fox jumps over the lazy dog and then does so again, until the body is full. ";
        let filler: String = filler
            .chars()
            .cycle()
            .take(length.saturating_sub(STAMP + 1))
            .collect();
        let mut bytes = head.as_bytes().to_vec();
        let id = bytes.len();
        // A Vec takes every write.
        let _ = write!(bytes, "{:08}'>{open}", 0);
        let hole = bytes.len();
        bytes.resize(hole + STAMP, b'0');
        let _ = write!(bytes, " {filler}{close}");
        Self {
            bytes,
            hole,
            id: Some(id),
        }
    }

    /// A presence that shows a changing status.
    #[must_use]
    pub fn presence() -> Self {
        let mut bytes = b"<presence><show>away</show><status>".to_vec();
        let hole = bytes.len();
        bytes.resize(hole + STAMP, b'0');
        bytes.extend_from_slice(b"</status></presence>");
        Self {
            bytes,
            hole,
            id: None,
        }
    }

    /// Appends one stanza to `out`.
    pub fn append(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        stamp.write(&mut out[start + self.hole..start + self.hole + STAMP]);
        if let Some(id) = self.id {
            hex(
                u64::from(stamp.sequence),
                &mut out[start + id..start + id + 8],
            );
        }
    }

    /// Length of one stanza.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Stamp, Template, attribute, contains, name, text};

    #[test]
    fn names_and_attributes_are_read_as_they_stand() {
        let check = |stanza: &str, wanted: &str, expected: Option<&str>| {
            assert_eq!(
                attribute(stanza.as_bytes(), wanted),
                expected.map(str::as_bytes),
                "{wanted} of {stanza}"
            );
        };
        check("<iq id='1' type=\"get\"/>", "type", Some("get"));
        check("<iq id='1' type=\"get\"/>", "id", Some("1"));
        check("<iq id='1'><x to='2'/></iq>", "to", None);
        check("<iq xid='1' id='a>b'/>", "id", Some("a>b"));
        check("<iq/>", "id", None);
        assert_eq!(name(b"<stream:features><a/>"), b"stream:features");
        assert_eq!(name(b"<r/>"), b"r");
        assert_eq!(
            text(b"<a><jid>x@y/z</jid></a>", "<jid>"),
            Some(&b"x@y/z"[..])
        );
        assert!(contains(b"<a><b/></a>", "<b/"));
    }

    #[test]
    fn a_stamp_survives_its_journey() {
        let stamp = Stamp {
            sender: 7,
            sequence: 0xdead_beef,
            sent: 1 << 40,
        };
        for template in [
            Template::message("u1@localhost", 100),
            Template::groupchat("r@localhost", 100),
            Template::publication(Some("p.localhost"), "n", 100),
            Template::presence(),
        ] {
            let mut out = Vec::new();
            template.append(stamp, &mut out);
            assert_eq!(Stamp::find(&out), Some(stamp));
            assert_eq!(out.len(), template.size());
        }
        assert_eq!(Stamp::find(b"<message/>"), None);
    }
}
