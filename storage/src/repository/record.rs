//! How a record in `core` is encoded.

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
