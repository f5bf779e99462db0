//! How a record in `core` is encoded, and how a write recognises itself.
//!
//! ```text
//! 01           format
//! codec        bit 0: the body is lz4 with its size before it; bit 1: the body is a pointer to a blob
//! write id     8 bytes, little-endian, drawn at random for each write
//! body         CBOR, a map with numeric keys; unknown keys are ignored
//! ```
//!
//! Why the write id: a layer or a client library repeats a write whose answer was lost. The repeat finds its condition
//! broken by itself; the same id in the record that stands there says so (`commit`).

use std::{borrow::Cow, sync::Arc};

use aws_lc_rs::rand;
use minicbor::{Decode, Encode};

use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Condition, Consistency, Key, Operation, Record, Table},
};

const FORMAT: u8 = 1;
const LZ4: u8 = 1;
const POINTER: u8 = 1 << 1;
const HEADER: usize = 10;
/// Bodies below this are not worth compressing.
const COMPRESS_FROM: usize = 512;
/// Bodies are never larger; a size beyond it is damage.
pub(crate) const MAX_BODY: usize = 64 << 20;
/// Longest record that stays a record (DynamoDB: 400 KB with its keys).
pub(crate) const MAX_INLINE: usize = 300 << 10;

/// A random number, for write ids and names of blobs.
pub(crate) fn fresh_id() -> u64 {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).expect("the system has randomness");
    u64::from_le_bytes(bytes)
}

/// The condition that a version seen before stands for; 0: nothing was there.
pub(crate) fn unchanged_since(seen: u64) -> Condition {
    if seen == 0 {
        Condition::Absent
    } else {
        Condition::Version(seen)
    }
}

pub(crate) fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}

/// CBOR of a value.
pub(crate) fn to_cbor<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory cannot fail")
}

/// A value of CBOR.
pub(crate) fn from_cbor<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T> {
    minicbor::decode(bytes).map_err(|e| corrupt("undecodable record").with_source(e))
}

/// A body with its header, compressed if that helps.
///
/// # Errors
/// `TooLarge`: nobody would read it back.
pub(crate) fn seal(body: &[u8], write_id: u64) -> Result<Vec<u8>> {
    if body.len() > MAX_BODY {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "a value of {} bytes; at most {MAX_BODY} are kept",
                body.len()
            ),
        ));
    }
    let packed = (body.len() >= COMPRESS_FROM).then(|| lz4_flex::compress_prepend_size(body));
    match packed {
        Some(packed) if packed.len() < body.len() => Ok(with_header(LZ4, &packed, write_id)),
        _ => Ok(with_header(0, body, write_id)),
    }
}

/// A pointer to a blob with its header.
pub(crate) fn seal_pointer(pointer: &[u8], write_id: u64) -> Vec<u8> {
    with_header(POINTER, pointer, write_id)
}

fn with_header(codec: u8, body: &[u8], write_id: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER + body.len());
    value.extend_from_slice(&[FORMAT, codec]);
    value.extend_from_slice(&write_id.to_le_bytes());
    value.extend_from_slice(body);
    value
}

/// What a record's value holds.
pub(crate) enum Opened<'a> {
    Body(Cow<'a, [u8]>),
    Pointer(&'a [u8]),
}

/// Takes the header off.
pub(crate) fn open(value: &[u8]) -> Result<Opened<'_>> {
    let (header, body) = value
        .split_at_checked(HEADER)
        .ok_or_else(|| corrupt("record without header"))?;
    match (header[0], header[1]) {
        (FORMAT, 0) => Ok(Opened::Body(Cow::Borrowed(body))),
        (FORMAT, LZ4) => inflate(body).map(|body| Opened::Body(Cow::Owned(body))),
        (FORMAT, POINTER) => Ok(Opened::Pointer(body)),
        (format, codec) => Err(corrupt(format!("record of format {format}, codec {codec}"))),
    }
}

fn inflate(packed: &[u8]) -> Result<Vec<u8>> {
    let (size, packed) = lz4_flex::block::uncompressed_size(packed)
        .map_err(|e| corrupt("lz4 size").with_source(e))?;
    if size > MAX_BODY {
        return Err(corrupt(format!("record of {size} bytes")));
    }
    lz4_flex::decompress(packed, size).map_err(|e| corrupt("lz4 body").with_source(e))
}

fn write_id_of(value: &[u8]) -> Option<u64> {
    value
        .get(2..HEADER)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}

/// Writes a batch whose first operation puts a record with this write id. A conflict with that very record is the
/// repeat of a write whose answer was lost, and success.
pub(crate) async fn commit(table: &dyn Table, batch: Batch, write_id: u64) -> Result<()> {
    match table.write(batch).await {
        Err(error) if is_own(&error, write_id) => Ok(()),
        result => result,
    }
}

fn is_own(error: &Error, write_id: u64) -> bool {
    let Some(at) = error.conflict_at() else {
        return false;
    };
    let found = at
        .current
        .as_ref()
        .and_then(|record| write_id_of(&record.value));
    at.index == 0 && found == Some(write_id)
}

/// Does it again while another was faster, but not for ever.
pub(crate) async fn repeat_on_conflict<T, F: Future<Output = Result<T>>>(
    attempts: usize,
    mut attempt: impl FnMut() -> F,
) -> Result<T> {
    for _ in 1..attempts {
        match attempt().await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            result => return result,
        }
    }
    attempt().await
}

/// Records that are never so large as to need a blob.
#[derive(Clone)]
pub(crate) struct Records {
    pub(crate) table: Arc<dyn Table>,
}

impl Records {
    /// A record and its version. One strong get.
    pub(crate) async fn load<T: for<'b> Decode<'b, ()>>(
        &self,
        key: &Key,
    ) -> Result<Option<(T, u64)>> {
        let Some(record) = self.table.get(key, Consistency::Strong).await? else {
            return Ok(None);
        };
        Ok(Some((decode(&record)?, record.version)))
    }

    /// Puts a record if its version is still `seen`; returns the new version.
    pub(crate) async fn store<T: Encode<()>>(&self, key: Key, value: &T, seen: u64) -> Result<u64> {
        self.store_with(key, value, seen, Batch::new()).await
    }

    /// The same, with operations that must happen too.
    pub(crate) async fn store_with<T: Encode<()>>(
        &self,
        key: Key,
        value: &T,
        seen: u64,
        with: Batch,
    ) -> Result<u64> {
        self.put(key, value, seen, None, with).await
    }

    /// The same of a record that vanishes then, in seconds since 1970.
    pub(crate) async fn store_until<T: Encode<()>>(
        &self,
        key: Key,
        value: &T,
        seen: u64,
        until: u64,
        with: Batch,
    ) -> Result<u64> {
        self.put(key, value, seen, Some(until), with).await
    }

    async fn put<T: Encode<()>>(
        &self,
        key: Key,
        value: &T,
        seen: u64,
        expires: Option<u64>,
        with: Batch,
    ) -> Result<u64> {
        let write_id = fresh_id();
        let value = seal(&to_cbor(value), write_id)?;
        if value.len() > MAX_INLINE {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("record of {} bytes", value.len()),
            ));
        }
        let mut batch = with;
        let put = Operation::Put {
            key,
            value: value.into(),
            condition: unchanged_since(seen),
            expires,
        };
        batch.operations.insert(0, put);
        commit(&*self.table, batch, write_id).await?;
        Ok(seen + 1)
    }
}

/// The content of a record that is not a pointer.
pub(crate) fn decode<T: for<'b> Decode<'b, ()>>(record: &Record) -> Result<T> {
    match open(&record.value)? {
        Opened::Body(body) => from_cbor(&body),
        Opened::Pointer(_) => Err(corrupt("a pointer where a value belongs")),
    }
}

/// Bare addresses as text.
pub(crate) mod jid {
    use minicbor::{Decoder, Encoder, decode::Error, encode as enc};
    use xmpp::BareJid;

    pub(crate) fn encode<C, W: enc::Write>(
        jid: &BareJid,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), enc::Error<W::Error>> {
        e.str(jid.as_str())?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<BareJid, Error> {
        let at = d.position();
        BareJid::parse(d.str()?).map_err(|e| Error::custom(e).at(at))
    }
}

/// Optional shared bytes as a byte string.
pub(crate) mod bytes_option {
    use bytes::Bytes;
    use minicbor::{Decoder, Encoder, data::Type, decode::Error, encode as enc};

    pub(crate) fn encode<C, W: enc::Write>(
        bytes: &Option<Bytes>,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), enc::Error<W::Error>> {
        match bytes {
            Some(bytes) => e.bytes(bytes)?.ok(),
            None => e.null()?.ok(),
        }
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Option<Bytes>, Error> {
        if d.datatype()? == Type::Null {
            d.null()?;
            return Ok(None);
        }
        d.bytes().map(|bytes| Some(Bytes::copy_from_slice(bytes)))
    }

    pub(crate) fn nil() -> Option<Option<Bytes>> {
        Some(None)
    }

    pub(crate) fn is_nil(bytes: &Option<Bytes>) -> bool {
        bytes.is_none()
    }
}

#[cfg(test)]
mod tests;
