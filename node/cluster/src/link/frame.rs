//! Frames on the wire.
//!
//! ```text
//! 0        4      5      6              14
//! | length | what | kind | number       | body
//! ```
//! Length is the body's, numbers are big-endian. `what` is ours, `kind` the caller's. What is sequenced has a number, from 1
//! up without a gap for each peer and class. The body of a request, a reply or a cancellation begins with the request's id;
//! otherwise it is the caller's, verbatim.

use bytes::{BufMut, Bytes};

/// The largest body of a frame: longer things are the caller's to cut, so that what follows never waits for more than this.
pub const MAX_BODY: usize = 1024 * 1024;
/// What stands before a body.
pub(super) const HEADER: usize = 14;
/// What a request's id takes of the body on the wire.
pub(super) const ID: usize = 8;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// For [`super::Handler::frame`].
    Message = 0,
    /// For [`super::Handler::request`].
    Request = 1,
    /// The answer to one.
    Reply = 2,
    /// It was declined: nothing was done.
    Declined = 3,
    /// Nobody waits for this request any more.
    Cancel = 4,
    /// What was received, and what may be sent. Not sequenced.
    Ack = 5,
    /// Time. Not sequenced.
    Beat = 6,
}

impl What {
    fn of(byte: u8) -> Option<Self> {
        const ALL: [What; 7] = [
            What::Message,
            What::Request,
            What::Reply,
            What::Declined,
            What::Cancel,
            What::Ack,
            What::Beat,
        ];
        ALL.get(usize::from(byte)).copied()
    }
    pub(super) fn is_sequenced(self) -> bool {
        !matches!(self, Self::Ack | Self::Beat)
    }
    /// Whether it begins with an id.
    pub(super) fn has_id(self) -> bool {
        !matches!(self, Self::Message | Self::Ack | Self::Beat)
    }
    /// Whether it takes of the receiver's credit. Answers do not: their number is bounded by the requests, and requests
    /// whose answers had to wait for each other's credit would wait for ever.
    pub(super) fn is_credited(self) -> bool {
        matches!(self, Self::Message | Self::Request)
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Of all that follows: id and body.
    pub(super) length: usize,
    pub(super) what: What,
    pub(super) kind: u8,
    pub(super) number: u64,
}

/// Bytes that are no frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a frame")]
pub(super) struct NotAFrame;

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.length).expect("bodies are bounded"));
        out.put_u8(self.what as u8);
        out.put_u8(self.kind);
        out.put_u64(self.number);
    }
    pub(super) fn read(bytes: &[u8; HEADER]) -> Result<Self, NotAFrame> {
        let [a, b, c, d, what, kind, number @ ..] = *bytes;
        let header = Self {
            length: u32::from_be_bytes([a, b, c, d]) as usize,
            what: What::of(what).ok_or(NotAFrame)?,
            kind,
            number: u64::from_be_bytes(number),
        };
        let id = if header.what.has_id() { ID } else { 0 };
        if header.length < id || header.length > MAX_BODY + id {
            return Err(NotAFrame);
        }
        Ok(header)
    }
}

/// What was received, and what may be sent: all totals, so that losing one loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ack {
    /// The number of the last frame that was seen.
    pub(super) received: u64,
    /// Frames that may have been sent in all.
    pub(super) frames: u64,
    /// Bytes of bodies that may have been sent in all.
    pub(super) bytes: u64,
}

/// Time, in microseconds of the sender's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Beat {
    /// When this was sent.
    pub(super) sent: u64,
    /// What the last beat of the other side said in `sent`; 0: there was none.
    pub(super) echo: u64,
    /// How long ago that one came.
    pub(super) held: u64,
}

/// Writes a frame that is three numbers.
fn write_numbers(out: &mut Vec<u8>, what: What, numbers: [u64; 3]) {
    let (length, kind, number) = (24, 0, 0);
    let header = Header {
        length,
        what,
        kind,
        number,
    };
    header.write(out);
    numbers.into_iter().for_each(|number| out.put_u64(number));
}

fn read_numbers(body: &[u8]) -> Result<[u64; 3], NotAFrame> {
    let body: &[u8; 24] = body.try_into().map_err(|_| NotAFrame)?;
    let (numbers, _) = body.as_chunks::<8>();
    let mut all = numbers.iter().map(|number| u64::from_be_bytes(*number));
    Ok(std::array::from_fn(|_| {
        all.next().expect("24 bytes are three numbers")
    }))
}

impl Ack {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_numbers(out, What::Ack, [self.received, self.frames, self.bytes]);
    }
    pub(super) fn read(body: &[u8]) -> Result<Self, NotAFrame> {
        let [received, frames, bytes] = read_numbers(body)?;
        Ok(Self {
            received,
            frames,
            bytes,
        })
    }
}

impl Beat {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_numbers(out, What::Beat, [self.sent, self.echo, self.held]);
    }
    pub(super) fn read(body: &[u8]) -> Result<Self, NotAFrame> {
        let [sent, echo, held] = read_numbers(body)?;
        Ok(Self { sent, echo, held })
    }
}

/// The id in front of a body, and the body.
pub(super) fn split_id(mut body: Bytes) -> Result<(u64, Bytes), NotAFrame> {
    if body.len() < ID {
        return Err(NotAFrame);
    }
    let id = body.split_to(ID);
    let id = id.as_ref().try_into().map_err(|_| NotAFrame)?;
    Ok((u64::from_be_bytes(id), body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an earlier version says and understands.
    #[test]
    fn an_earlier_version_reads_them_and_is_read() {
        let kinds = [
            What::Message,
            What::Request,
            What::Reply,
            What::Declined,
            What::Cancel,
            What::Ack,
            What::Beat,
        ];
        for (what, number) in kinds.into_iter().zip(0_u8..) {
            let mut out = Vec::new();
            let (length, kind) = (513, 7);
            let header = Header {
                length,
                what,
                kind,
                number: 9,
            };
            header.write(&mut out);
            let bytes = [0, 0, 2, 1, number, 7, 0, 0, 0, 0, 0, 0, 0, 9];
            assert_eq!(out, bytes);
            assert_eq!(Header::read(&bytes).unwrap(), header);
        }
        let mut out = Vec::new();
        Beat {
            sent: 1,
            echo: 2,
            held: 3,
        }
        .write(&mut out);
        Ack {
            received: 1,
            frames: 2,
            bytes: 3,
        }
        .write(&mut out);
        let numbers = b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03";
        let headers = [6, 5].map(|what| [0, 0, 0, 24, what, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let [beat, ack] = headers.map(|header| [&header[..], numbers].concat());
        assert_eq!(out, [beat, ack].concat());
    }

    proptest! {
        #[test]
        fn headers_round_trip_and_others_are_refused(bytes in prop::array::uniform14(any::<u8>())) {
            if let Ok(header) = Header::read(&bytes) {
                let mut out = Vec::new();
                header.write(&mut out);
                prop_assert_eq!(&out[..], &bytes[..]);
                prop_assert!(header.length <= MAX_BODY + ID);
            }
        }
        #[test]
        fn numbers_round_trip(a: u64, b: u64, c: u64) {
            let mut out = Vec::new();
            let (ack, beat) = (Ack { received: a, frames: b, bytes: c }, Beat { sent: a, echo: b, held: c });
            ack.write(&mut out);
            prop_assert_eq!(Ack::read(&out[HEADER..]), Ok(ack));
            out.clear();
            beat.write(&mut out);
            prop_assert_eq!(Beat::read(&out[HEADER..]), Ok(beat));
            prop_assert_eq!(Beat::read(&out), Err(NotAFrame));
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let check = |what, length, good| {
            let (kind, number, mut out) = (7, 9, Vec::new());
            let header = Header {
                length,
                what,
                kind,
                number,
            };
            header.write(&mut out);
            let read = Header::read(out.as_slice().try_into().unwrap());
            assert_eq!(read, if good { Ok(header) } else { Err(NotAFrame) });
        };
        check(What::Message, 0, true);
        check(What::Message, MAX_BODY, true);
        check(What::Message, MAX_BODY + 1, false);
        check(What::Request, ID - 1, false);
        check(What::Request, ID, true);
        check(What::Reply, MAX_BODY + ID, true);
        check(What::Reply, MAX_BODY + ID + 1, false);
    }
}
