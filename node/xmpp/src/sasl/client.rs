//! The client's side: PLAIN and SCRAM, as our tests, our federation and the load program speak it.
//!
//! Source: RFC 4616, RFC 5802 §5, XEP-0474 §5.2, XEP-0440 §3. HT's is [`super::ht::initiator`].

use std::{fmt, ops::RangeInclusive};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    BindingType, Hash,
    attributes::{are_extensions, escape, is_nonce, text, value},
    equal,
    keys::salted_password,
};

/// Iterations a server may ask for: above, it wants to keep us busy.
const ITERATIONS: RangeInclusive<u32> = 1..=10_000_000;

/// The message of PLAIN.
pub fn plain(authzid: Option<&str>, authcid: &str, password: &str) -> Vec<u8> {
    [authzid.unwrap_or_default(), authcid, password]
        .join("\0")
        .into_bytes()
}

/// Why a client does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server's message is not SCRAM, or asks for what we do not know.
    #[error("malformed server message")]
    Malformed,
    /// The server's nonce does not begin with ours.
    #[error("server nonce does not continue ours")]
    Nonce,
    /// Too many iterations, or none.
    #[error("iteration count out of range")]
    Iterations,
    /// The offer was changed on the way (XEP-0474).
    #[error("mechanisms or channel bindings were changed on the way")]
    Downgrade,
    /// The server said `e=`.
    #[error("server refused: {0}")]
    Server(String),
    /// The server does not know the password.
    #[error("server signature does not verify")]
    Signature,
    /// A message came before its turn.
    #[error("message out of order")]
    Order,
}

/// What the client says about channel binding: the GS2 flag (RFC 5802 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientBinding {
    /// `n`: the client cannot.
    Unsupported,
    /// `y`: the client could, but saw no offer.
    NotOffered,
    /// `p`: in use, with its data.
    Used(BindingType, Vec<u8>),
}

/// One SCRAM exchange of a client: [`Self::first`], [`Self::response`], [`Self::check`].
///
/// ```
/// use xmpp::sasl::{ClientBinding, Hash, ScramClient};
/// let client = ScramClient::new(Hash::Sha1, "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL", ClientBinding::Unsupported);
/// assert_eq!(client.first(), b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
/// ```
pub struct ScramClient {
    hash: Hash,
    secret: Secret,
    nonce: String,
    header: String,
    bare: String,
    channel_data: Vec<u8>,
    downgrade: Option<String>,
    server_signature: Option<Vec<u8>>,
}

enum Secret {
    Password(Zeroizing<String>),
    Salted(Zeroizing<Vec<u8>>),
}

impl ScramClient {
    /// An exchange with a password. `nonce` is fresh, printable ASCII without comma.
    pub fn new(
        hash: Hash,
        username: &str,
        password: &str,
        nonce: &str,
        binding: ClientBinding,
    ) -> Self {
        Self::with_secret(
            hash,
            username,
            Secret::Password(Zeroizing::new(password.to_owned())),
            nonce,
            binding,
        )
    }

    /// An exchange with a SaltedPassword kept from an earlier one: no iterations. Salt and count must be the same.
    pub fn with_salted_password(
        hash: Hash,
        username: &str,
        salted: &[u8],
        nonce: &str,
        binding: ClientBinding,
    ) -> Self {
        Self::with_secret(
            hash,
            username,
            Secret::Salted(Zeroizing::new(salted.to_vec())),
            nonce,
            binding,
        )
    }

    fn with_secret(
        hash: Hash,
        username: &str,
        secret: Secret,
        nonce: &str,
        binding: ClientBinding,
    ) -> Self {
        let (flag, channel_data) = match binding {
            ClientBinding::Unsupported => ("n".to_owned(), Vec::new()),
            ClientBinding::NotOffered => ("y".to_owned(), Vec::new()),
            ClientBinding::Used(binding, data) => (format!("p={}", binding.as_str()), data),
        };
        Self {
            hash,
            secret,
            nonce: nonce.to_owned(),
            header: format!("{flag},,"),
            bare: format!("n={},r={nonce}", escape(username)),
            channel_data,
            downgrade: None,
            server_signature: None,
        }
    }

    /// The same, acting as somebody else.
    #[must_use]
    pub fn with_authzid(mut self, authzid: &str) -> Self {
        self.header.truncate(self.header.len() - 1);
        self.header.push_str(&format!("a={},", escape(authzid)));
        self
    }

    /// The same, knowing what the server offered: [`super::downgrade_hash`] of it. A server that says nothing is
    /// believed, as XEP-0474 is optional.
    #[must_use]
    pub fn with_downgrade_hash(mut self, hash: String) -> Self {
        self.downgrade = Some(hash);
        self
    }

    /// The first message.
    pub fn first(&self) -> Vec<u8> {
        [self.header.as_str(), &self.bare].concat().into_bytes()
    }

    /// The answer to the challenge, with the proof.
    ///
    /// # Errors
    /// `Malformed`, `Nonce`, `Iterations` or `Downgrade` as to the challenge.
    pub fn response(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        let challenge = text(challenge).map_err(|_| ClientError::Malformed)?;
        let (nonce, salt, iterations) = self.parse_challenge(challenge)?;
        let salted = match &self.secret {
            Secret::Password(password) => salted_password(self.hash, password, &salt, iterations),
            Secret::Salted(salted) => salted.clone(),
        };
        let channel = STANDARD.encode([self.header.as_bytes(), &self.channel_data].concat());
        let unproved = format!("c={channel},r={nonce}");
        let signed = format!("{},{challenge},{unproved}", self.bare);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let signature = self.hash.hmac(
            self.hash.digest(client_key.as_ref()).as_ref(),
            signed.as_bytes(),
        );
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = self.hash.hmac(&salted, b"Server Key");
        self.server_signature = Some(
            self.hash
                .hmac(server_key.as_ref(), signed.as_bytes())
                .as_ref()
                .to_vec(),
        );
        Ok(format!("{unproved},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// `r=...,s=...,i=...[,extensions]`.
    fn parse_challenge<'a>(
        &self,
        challenge: &'a str,
    ) -> Result<(&'a str, Vec<u8>, u32), ClientError> {
        let mut fields = challenge.split(',');
        let mut field = |name| {
            fields
                .next()
                .and_then(|field| value(field, name))
                .ok_or(ClientError::Malformed)
        };
        let (nonce, salt, iterations) = (field('r')?, field('s')?, field('i')?);
        let salt = STANDARD.decode(salt).map_err(|_| ClientError::Malformed)?;
        let iterations = iterations.parse().map_err(|_| ClientError::Malformed)?;
        if !are_extensions(fields.clone()) {
            return Err(ClientError::Malformed);
        }
        if !is_nonce(nonce) || nonce.strip_prefix(&self.nonce).is_none_or(str::is_empty) {
            return Err(ClientError::Nonce);
        }
        if !ITERATIONS.contains(&iterations) {
            return Err(ClientError::Iterations);
        }
        let said = fields.find_map(|field| value(field, 'h'));
        match (&self.downgrade, said) {
            (Some(known), Some(said)) if known != said => Err(ClientError::Downgrade),
            _ => Ok((nonce, salt, iterations)),
        }
    }

    /// Checks the server's last message.
    ///
    /// # Errors
    /// `Server` if it refused, `Signature` if it does not know the password, `Malformed`, `Order`.
    pub fn check(&self, server_final: &[u8]) -> Result<(), ClientError> {
        let expected = self.server_signature.as_ref().ok_or(ClientError::Order)?;
        let message = text(server_final).map_err(|_| ClientError::Malformed)?;
        let field = message.split(',').next().unwrap_or_default();
        if let Some(error) = value(field, 'e') {
            return Err(ClientError::Server(error.to_owned()));
        }
        let signature = value(field, 'v').ok_or(ClientError::Malformed)?;
        let signature = STANDARD
            .decode(signature)
            .map_err(|_| ClientError::Malformed)?;
        if equal(&signature, expected) {
            Ok(())
        } else {
            Err(ClientError::Signature)
        }
    }
}

impl fmt::Debug for ScramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramClient")
            .field("hash", &self.hash)
            .field("bare", &self.bare)
            .finish_non_exhaustive()
    }
}
