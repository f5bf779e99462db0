//! SCRAM, the server's side: three messages as three types, each made of the one before.
//!
//! Source: RFC 5802 §5 to §7, RFC 7677; XEP-0474 for the attribute `h`.
//! Why types: the account is read between the first two, and no order but this one compiles. An unknown account goes
//! the same way with [`ScramKeys::decoy`], so neither answer nor time tells it from a wrong password.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    BindingOffer, BindingType, ChannelBindings, Hash, Mechanism, SaslFailure, ScramKeys,
    attributes::{are_extensions, is_nonce, text, unescape, value},
    equal,
};

/// The client's first message, understood.
///
/// ```
/// use xmpp::sasl::{BindingOffer, ChannelBindings, ClientBinding, ClientFirst, Hash, Mechanism, ScramClient, ScramKeys};
/// let keys = ScramKeys::derive(Hash::Sha256, "pencil", b"sixteen bytes ..", 4096);
/// let mut client = ScramClient::new(Hash::Sha256, "user", "pencil", "client-nonce", ClientBinding::Unsupported);
/// let mechanism = Mechanism::Scram { hash: Hash::Sha256, plus: false };
///
/// let first = ClientFirst::parse(mechanism, &client.first(), &BindingOffer::default())?;
/// assert_eq!(first.username(), "user");
/// let (state, challenge) = first.challenge(&keys, "server-nonce", None);
/// let response = client.response(&challenge).expect("a well-formed challenge");
/// let success = state.verify(&response, &ChannelBindings::default())?;
/// assert_eq!(client.check(&success), Ok(()));
/// # Ok::<(), xmpp::sasl::SaslFailure>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClientFirst {
    hash: Hash,
    binding: Option<BindingType>,
    /// The GS2 header as sent; the client repeats it in its last message.
    header: String,
    bare: String,
    authzid: Option<String>,
    username: String,
    nonce: String,
}

impl ClientFirst {
    /// Parses `gs2-header client-first-message-bare` (RFC 5802 §7).
    ///
    /// # Errors
    /// `invalid-mechanism` if it is not SCRAM; `malformed-request` for what the grammar, the mechanism or the offer
    /// does not allow; `not-authorized` if the client says that we did not offer channel binding, but we did:
    /// somebody removed it on the way (§6).
    pub fn parse(
        mechanism: Mechanism,
        message: &[u8],
        offered: &BindingOffer,
    ) -> Result<Self, SaslFailure> {
        let Mechanism::Scram { hash, plus } = mechanism else {
            return Err(SaslFailure::InvalidMechanism);
        };
        let message = text(message)?;
        let mut header = message.splitn(3, ',');
        let mut next = || header.next().ok_or(SaslFailure::MalformedRequest);
        let (flag, authzid, bare) = (next()?, next()?, next()?);
        let binding = parse_flag(flag, plus, *offered)?;
        let authzid = match authzid {
            "" => None,
            field => Some(
                value(field, 'a')
                    .and_then(unescape)
                    .ok_or(SaslFailure::MalformedRequest)?,
            ),
        };
        let (username, nonce) = parse_bare(bare).ok_or(SaslFailure::MalformedRequest)?;
        let header = message[..message.len() - bare.len()].to_owned();
        Ok(Self {
            hash,
            binding,
            header,
            bare: bare.to_owned(),
            authzid,
            username,
            nonce,
        })
    }

    /// Who the client is, unescaped, not yet a localpart.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Whom the client wants to act as.
    pub fn authzid(&self) -> Option<&str> {
        self.authzid.as_deref()
    }

    /// The hash whose keys [`Self::challenge`] needs.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The channel binding in use.
    pub fn binding(&self) -> Option<BindingType> {
        self.binding
    }

    /// Answers with nonce, salt and iterations, and with `downgrade` as the attribute `h` of XEP-0474
    /// (see [`super::downgrade_hash`]). `server_nonce` is fresh, printable ASCII without comma.
    pub fn challenge(
        self,
        keys: &ScramKeys,
        server_nonce: &str,
        downgrade: Option<&str>,
    ) -> (ServerFirst, Vec<u8>) {
        debug_assert!(
            is_nonce(server_nonce),
            "a nonce is printable ASCII without comma"
        );
        debug_assert_eq!(keys.hash, self.hash, "keys of the mechanism's hash");
        let nonce = self.nonce + server_nonce;
        let mut challenge = format!(
            "r={nonce},s={},i={}",
            STANDARD.encode(&keys.salt),
            keys.iterations
        );
        if let Some(downgrade) = downgrade {
            challenge.push_str(",h=");
            challenge.push_str(downgrade);
        }
        let signed = format!("{},{challenge}", self.bare);
        let state = ServerFirst {
            header: self.header,
            binding: self.binding,
            nonce,
            signed,
            keys: keys.clone(),
        };
        (state, challenge.into_bytes())
    }
}

/// `n`, `y` or `p=<type>`, against mechanism and offer.
fn parse_flag(
    flag: &str,
    plus: bool,
    offered: BindingOffer,
) -> Result<Option<BindingType>, SaslFailure> {
    match flag {
        "n" | "y" if plus => Err(SaslFailure::MalformedRequest),
        "n" => Ok(None),
        "y" if offered.is_empty() => Ok(None),
        "y" => Err(SaslFailure::NotAuthorized),
        _ if !plus => Err(SaslFailure::MalformedRequest),
        _ => value(flag, 'p')
            .and_then(BindingType::parse)
            .filter(|binding| offered.contains(*binding))
            .map(Some)
            .ok_or(SaslFailure::MalformedRequest),
    }
}

/// `n=<name>,r=<nonce>[,extensions]`. A reserved `m=` in front fails, as §5.1 demands.
fn parse_bare(bare: &str) -> Option<(String, String)> {
    let mut fields = bare.split(',');
    let username = unescape(value(fields.next()?, 'n')?)?;
    let nonce = value(fields.next()?, 'r').filter(|nonce| is_nonce(nonce))?;
    are_extensions(fields).then(|| (username, nonce.to_owned()))
}

/// The exchange after our challenge: waits for the proof.
#[derive(Debug)]
pub struct ServerFirst {
    header: String,
    binding: Option<BindingType>,
    nonce: String,
    /// `client-first-message-bare "," server-first-message`.
    signed: String,
    keys: ScramKeys,
}

impl ServerFirst {
    /// Verifies `c=...,r=...[,extensions],p=...` and answers `v=...`, by which the client knows us.
    ///
    /// # Errors
    /// `malformed-request` for what the grammar does not allow, else `not-authorized`: another nonce, another channel,
    /// or a proof that is not of these keys.
    pub fn verify(
        self,
        client_final: &[u8],
        bindings: &ChannelBindings,
    ) -> Result<Vec<u8>, SaslFailure> {
        let message = text(client_final)?;
        let (unproved, proof) = message
            .rsplit_once(",p=")
            .ok_or(SaslFailure::MalformedRequest)?;
        let proof = STANDARD
            .decode(proof)
            .map_err(|_| SaslFailure::MalformedRequest)?;
        let mut fields = unproved.split(',');
        let mut field = |name| {
            fields
                .next()
                .and_then(|field| value(field, name))
                .ok_or(SaslFailure::MalformedRequest)
        };
        let (channel, nonce) = (field('c')?, field('r')?);
        let channel = STANDARD
            .decode(channel)
            .map_err(|_| SaslFailure::MalformedRequest)?;
        if !are_extensions(fields) || proof.len() != self.keys.hash.output_len() {
            return Err(SaslFailure::MalformedRequest);
        }
        let signed = format!("{},{unproved}", self.signed);
        let expected = self.channel_input(bindings);
        let same_channel = expected.is_some_and(|expected| equal(&channel, &expected));
        let same_nonce = equal(nonce.as_bytes(), self.nonce.as_bytes());
        // All three are looked at before any decides.
        if self.is_proof(&proof, signed.as_bytes()) & same_channel & same_nonce {
            let signature = self
                .keys
                .hash
                .hmac(&self.keys.server_key, signed.as_bytes());
            Ok(format!("v={}", STANDARD.encode(signature)).into_bytes())
        } else {
            Err(SaslFailure::NotAuthorized)
        }
    }

    /// `gs2-header [cbind-data]`.
    fn channel_input(&self, bindings: &ChannelBindings) -> Option<Vec<u8>> {
        let mut input = self.header.clone().into_bytes();
        if let Some(binding) = self.binding {
            input.extend_from_slice(bindings.get(binding)?);
        }
        Some(input)
    }

    /// `H(ClientProof XOR ClientSignature) == StoredKey`; the lengths are equal.
    fn is_proof(&self, proof: &[u8], signed: &[u8]) -> bool {
        let hash = self.keys.hash;
        let signature = hash.hmac(&self.keys.stored_key, signed);
        let client_key: Vec<u8> = proof
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        equal(hash.digest(&client_key).as_ref(), &self.keys.stored_key)
    }
}
