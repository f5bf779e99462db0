//! The client's side of SASL: SCRAM and PLAIN.
//!
//! Source: RFC 5802 (SCRAM-SHA-1), RFC 7677 (SCRAM-SHA-256), RFC 4616 (PLAIN). Left out: channel binding.
//! Why here: the salted password costs thousands of hashes and is the same for every login of an account, so it is kept
//! in a [`Keys`] that all sessions share; otherwise the client would spend more on a login than the server.

mod keys;

use std::io;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use keys::{Keys, stored};

/// Which proof of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 5802.
    ScramSha1,
    /// RFC 7677.
    ScramSha256,
    /// The same over SHA-512.
    ScramSha512,
    /// RFC 4616.
    Plain,
}

impl Mechanism {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [
        Self::ScramSha512,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::Plain,
    ];

    /// The name in the SASL registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::Plain => "PLAIN",
        }
    }

    /// The mechanism of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::ScramSha1 | Self::Plain => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::ScramSha256 => hmac::HMAC_SHA256,
            Self::ScramSha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::ScramSha1 | Self::Plain => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::ScramSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::ScramSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// One exchange.
pub struct Exchange<'a> {
    keys: &'a Keys,
    mechanism: Mechanism,
    password: &'a str,
    first: String,
    nonce: String,
    expected: Option<Vec<u8>>,
}

impl<'a> Exchange<'a> {
    /// Begins an exchange; user names are ASCII without `,` and `=` in a load.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(
        keys: &'a Keys,
        mechanism: Mechanism,
        user: &str,
        password: &'a str,
    ) -> io::Result<Self> {
        let mut random = [0_u8; 18];
        rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let nonce = BASE64.encode(random);
        let first = format!("n={user},r={nonce}");
        Ok(Self {
            keys,
            mechanism,
            password,
            first,
            nonce,
            expected: None,
        })
    }

    /// What goes into `<auth/>`, in base64.
    #[must_use]
    pub fn initial(&self) -> String {
        match self.mechanism {
            Mechanism::Plain => {
                let user = self.first.split([',', '=']).nth(1).unwrap_or_default();
                BASE64.encode(format!("\0{user}\0{}", self.password))
            }
            _ => BASE64.encode(format!("n,,{}", self.first)),
        }
    }

    /// The answer to the server's challenge, both in base64 (RFC 5802 §3).
    ///
    /// # Errors
    /// `PermissionDenied` if the challenge is not one.
    pub fn respond(&mut self, challenge: &[u8]) -> io::Result<String> {
        let challenge = decode(challenge)?;
        let field = |wanted: &str| {
            challenge
                .split(',')
                .find_map(|part| part.strip_prefix(wanted))
        };
        let nonce = field("r=").filter(|nonce| nonce.starts_with(&self.nonce));
        let (Some(nonce), Some(salt), Some(rounds)) = (nonce, field("s="), field("i=")) else {
            return Err(refused("no SCRAM challenge"));
        };
        let rounds: NonZeroU32 = rounds.parse().map_err(|_| refused("no iteration count"))?;
        let key = self
            .keys
            .derive(self.mechanism, self.password, salt, rounds)?;
        let last = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{last}", self.first);

        let algorithm = self.mechanism.hmac();
        let stored = digest::digest(algorithm.digest_algorithm(), &key.client);
        let signature = hmac::sign(
            &hmac::Key::new(algorithm, stored.as_ref()),
            signed.as_bytes(),
        );
        let proof: Vec<u8> = key
            .client
            .iter()
            .zip(signature.as_ref())
            .map(|(left, right)| left ^ right)
            .collect();
        let server = hmac::sign(&hmac::Key::new(algorithm, &key.server), signed.as_bytes());
        self.expected = Some(server.as_ref().to_vec());
        Ok(BASE64.encode(format!("{last},p={}", BASE64.encode(proof))))
    }

    /// Checks the server's signature in `<success/>`.
    ///
    /// # Errors
    /// `PermissionDenied` if the server does not know the password either.
    pub fn finish(&self, success: &[u8]) -> io::Result<()> {
        let Some(expected) = &self.expected else {
            return Ok(());
        };
        let text = decode(success)?;
        let signature = text
            .strip_prefix("v=")
            .and_then(|value| BASE64.decode(value).ok());
        if signature.as_ref() == Some(expected) {
            Ok(())
        } else {
            Err(refused("the server's signature is wrong"))
        }
    }
}

fn decode(text: &[u8]) -> io::Result<String> {
    let bytes = BASE64
        .decode(text.trim_ascii())
        .map_err(|_| refused("no base64"))?;
    String::from_utf8(bytes).map_err(|_| refused("no UTF-8"))
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::{BASE64, Exchange, Keys, Mechanism};
    use base64::Engine as _;

    #[test]
    fn the_examples_of_the_rfcs_come_out() {
        // RFC 5802 §5, RFC 7677 §3.
        let cases = [
            (
                Mechanism::ScramSha1,
                "fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
            (
                Mechanism::ScramSha256,
                "rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        ];
        for (mechanism, nonce, challenge, response, success) in cases {
            let keys = Keys::default();
            let mut exchange = Exchange::new(&keys, mechanism, "user", "pencil").unwrap();
            exchange.nonce = nonce.to_owned();
            exchange.first = format!("n=user,r={nonce}");
            let answer = exchange
                .respond(BASE64.encode(challenge).as_bytes())
                .unwrap();
            assert_eq!(answer, BASE64.encode(response));
            assert!(exchange.finish(BASE64.encode(success).as_bytes()).is_ok());
            assert!(exchange.finish(BASE64.encode("v=AAAA").as_bytes()).is_err());
        }
    }

    #[test]
    fn plain_carries_name_and_password() {
        let keys = Keys::default();
        let exchange = Exchange::new(&keys, Mechanism::Plain, "u1", "secret").unwrap();
        assert_eq!(BASE64.decode(exchange.initial()).unwrap(), b"\0u1\0secret");
    }
}
