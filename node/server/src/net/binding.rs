//! Channel bindings: what proves to SASL that nobody sits between the two ends of a TLS connection.
//!
//! Source: RFC 9266 (tls-exporter, TLS 1.3 only here), RFC 5929 §4 (tls-server-end-point), RFC 8446 §7.5 (exporters).
//! Left out: tls-unique (not defined for TLS 1.3); tls-exporter over TLS 1.2, which needs the server's random value and
//! proof of the extended master secret, neither of which rustls tells.
//! Why here: rustls' unbuffered interface has no exporter, so a key log of our own catches the one secret it derives from,
//! for the time of the handshake.
//! Stored: some 100 bytes a connection until authentication takes them.

use std::sync::Arc;

use aws_lc_rs::{digest, hkdf};
use parking_lot::Mutex;
use rustls::KeyLog;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::tls::Certificates;

/// The channel bindings of one TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266). `None` below TLS 1.3.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929 §4). `None` if the certificate's signature has no single hash (Ed25519).
    pub server_end_point: Option<Vec<u8>>,
}

/// What a handshake leaves behind.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) sni: Option<Box<str>>,
    pub(super) bindings: ChannelBindings,
}

/// Watches one handshake: chooses the certificate, notes which, and catches the exporter secret.
#[derive(Debug)]
pub(super) struct Witness {
    certificates: Option<Arc<Certificates>>,
    /// The domain to assume if the client sends none: what the stream header was addressed to.
    domain: Option<String>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    left: Left,
    exporter_secret: Option<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Witness {
    pub(super) fn server(certificates: Arc<Certificates>, domain: Option<&str>) -> Self {
        Self {
            certificates: Some(certificates),
            domain: domain.map(str::to_ascii_lowercase),
            seen: Mutex::default(),
        }
    }

    pub(super) fn client() -> Self {
        Self {
            certificates: None,
            domain: None,
            seen: Mutex::default(),
        }
    }

    /// What was seen, the secret already turned into its binding.
    pub(super) fn finish(&self) -> Left {
        let seen = std::mem::take(&mut *self.seen.lock());
        let mut left = seen.left;
        left.bindings.exporter = seen
            .exporter_secret
            .as_deref()
            .and_then(|secret| tls_exporter(secret));
        left
    }
}

impl KeyLog for Witness {
    fn will_log(&self, label: &str) -> bool {
        label == "EXPORTER_SECRET"
    }

    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if self.will_log(label) {
            self.seen.lock().exporter_secret = Some(Zeroizing::new(secret.to_vec()));
        }
    }
}

impl ResolvesServerCert for Witness {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let sni = hello.server_name().map(str::to_ascii_lowercase);
        let identity = self
            .certificates
            .as_ref()?
            .choose(sni.as_deref().or(self.domain.as_deref()));
        let mut seen = self.seen.lock();
        seen.left.sni = sni.map(String::into_boxed_str);
        seen.left.bindings.server_end_point = identity.facts.server_end_point.clone();
        Some(identity.key.clone())
    }
}

/// RFC 9266 §2: 32 bytes for the label `EXPORTER-Channel-Binding` and an empty context, from the exporter secret.
fn tls_exporter(secret: &[u8]) -> Option<[u8; 32]> {
    // The length of the secret tells the hash of the cipher suite; TLS 1.3 knows no others.
    let (hkdf, digest) = match secret.len() {
        32 => (hkdf::HKDF_SHA256, &digest::SHA256),
        48 => (hkdf::HKDF_SHA384, &digest::SHA384),
        _ => return None,
    };
    let empty = digest::digest(digest, b"");
    let mut derived = Zeroizing::new(vec![0; secret.len()]);
    expand_label(
        hkdf,
        secret,
        b"EXPORTER-Channel-Binding",
        empty.as_ref(),
        &mut derived,
    )?;
    let mut binding = [0; 32];
    expand_label(hkdf, &derived, b"exporter", empty.as_ref(), &mut binding)?;
    Some(binding)
}

/// HKDF-Expand-Label (RFC 8446 §7.1).
fn expand_label(
    algorithm: hkdf::Algorithm,
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Option<()> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    let context_length = [u8::try_from(context.len()).ok()?];
    let info = [
        &length[..],
        &label_length,
        PREFIX,
        label,
        &context_length,
        context,
    ];
    hkdf::Prk::new_less_safe(algorithm, secret)
        .expand(&info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .ok()
}
