//! Where a stanza begins and ends in the bytes of a stream, and nothing more.
//!
//! Source: RFC 6120 §4 (the stream), §11 (what XML may stand in it).
//! Why here: a load client needs the boundaries of stanzas and a few attributes. It trusts the server to send
//! well-formed XML, so this is no parser: `node/xmpp/src/codec.rs` is.

use std::ops::Range;

/// What stands at the top of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The stream's opening tag.
    Open(Range<usize>),
    /// A child of the stream: a stanza or a nonza.
    Stanza(Range<usize>),
    /// The stream's closing tag.
    Close,
}

/// Received bytes and how far they are understood.
#[derive(Default)]
pub struct Scanner {
    buffer: Vec<u8>,
    /// Start of the item that is being read.
    start: usize,
    /// Where scanning goes on.
    at: usize,
    /// Open elements, the stream among them.
    depth: usize,
}

impl Scanner {
    /// Where received payload is appended.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The bytes of a range of [`Scanner::next_item`].
    #[must_use]
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.buffer[range.clone()]
    }

    /// Forgets the stream, for the one that follows STARTTLS or SASL.
    pub fn restart(&mut self) {
        self.buffer.drain(..self.start);
        (self.start, self.at, self.depth) = (0, 0, 0);
    }

    /// Gives back the memory of the items that are done with. Ranges handed out before are void after it.
    pub fn compact(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
        }
        self.at -= self.start;
        self.start = 0;
    }

    /// Gives back the buffer of a stream that will be quiet.
    pub fn shrink(&mut self) {
        self.compact();
        self.buffer.shrink_to_fit();
    }

    /// The next complete item, or `None` until more bytes have come.
    pub fn next_item(&mut self) -> Option<Item> {
        loop {
            let open = self.at + memchr::memchr(b'<', self.buffer.get(self.at..)?)?;
            let end = tag_end(&self.buffer, open)?;
            self.at = end;
            let closing = self.buffer[open + 1] == b'/';
            let empty = self.buffer[end - 2] == b'/';
            match self.buffer[open + 1] {
                // XML declaration and the like: no item.
                b'?' | b'!' => continue,
                _ if closing => self.depth = self.depth.saturating_sub(1),
                _ if !empty => self.depth += 1,
                _ => {}
            }
            if self.depth == 0 {
                self.start = end;
                return Some(Item::Close);
            }
            if self.depth == 1 {
                let from = if closing { self.start } else { open };
                let opened_stream = !closing && !empty;
                self.start = end;
                return Some(if opened_stream {
                    Item::Open(open..end)
                } else {
                    Item::Stanza(trim(&self.buffer, from)..end)
                });
            }
            if self.depth == 2 && !closing && !empty {
                self.start = open;
            }
        }
    }
}

/// Behind the `>` that ends the tag at `open`; a `>` within quotes does not end it.
fn tag_end(buffer: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += memchr::memchr3(b'>', b'\'', b'"', buffer.get(at..)?)?;
        let found = buffer[at];
        if found == b'>' {
            return (at > open + 1).then_some(at + 1);
        }
        at += 1 + memchr::memchr(found, buffer.get(at + 1..)?)? + 1;
    }
}

/// Past white space between stanzas (keep-alive).
fn trim(buffer: &[u8], from: usize) -> usize {
    from + buffer[from..]
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

#[cfg(test)]
mod tests {
    use super::{Item, Scanner};

    fn items(chunks: &[&str]) -> Vec<String> {
        let mut scanner = Scanner::default();
        let mut found = Vec::new();
        for chunk in chunks {
            scanner.input().extend_from_slice(chunk.as_bytes());
            while let Some(item) = scanner.next_item() {
                found.push(match item {
                    Item::Open(_) => "open".to_owned(),
                    Item::Close => "close".to_owned(),
                    Item::Stanza(range) => {
                        String::from_utf8(scanner.bytes(&range).to_vec()).unwrap()
                    }
                });
            }
            scanner.compact();
        }
        found
    }

    fn check(input: &str, expected: &[&str]) {
        assert_eq!(items(&[input]), expected, "whole");
        let bytes: Vec<String> = input.chars().map(String::from).collect();
        let single: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(items(&single), expected, "byte by byte");
    }

    #[test]
    fn stanzas_are_found_however_the_bytes_are_cut() {
        check("<?xml version='1.0'?><stream:stream to='a'>", &["open"]);
        check("<s><a/>", &["open", "<a/>"]);
        check(
            "<s><a x='>'/><b y=\"'>\">t</b>",
            &["open", "<a x='>'/>", "<b y=\"'>\">t</b>"],
        );
        check(
            "<s> <a><b><c/></b></a>\n<r/>",
            &["open", "<a><b><c/></b></a>", "<r/>"],
        );
        check("<s><a></a></s>", &["open", "<a></a>", "close"]);
        check(
            "<s><m>a/></m><m>/b</m>",
            &["open", "<m>a/></m>", "<m>/b</m>"],
        );
        check("<s><m", &["open"]);
    }

    #[test]
    fn a_new_stream_begins_after_restart() {
        let mut scanner = Scanner::default();
        scanner
            .input()
            .extend_from_slice(b"<s><success/><?xml version='1.0'?><s><f/>");
        assert!(matches!(scanner.next_item(), Some(Item::Open(_))));
        assert!(matches!(scanner.next_item(), Some(Item::Stanza(_))));
        scanner.restart();
        assert!(matches!(scanner.next_item(), Some(Item::Open(_))));
        assert!(matches!(scanner.next_item(), Some(Item::Stanza(_))));
        assert_eq!(scanner.next_item(), None);
    }
}
