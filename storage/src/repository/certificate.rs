//! Certificates that nodes share: a chain with its key as PEM, by a name that the configuration says.
//!
//! Stored: an object `certificate/<name>.pem`, whole or not at all, so that nobody ever reads a chain with the key of another
//! one. It is no owner's, and what sweeps objects of owners does not see it. Cost: one request to read or to replace it.
//! Who may read the bucket reads the key: see what the book says of that.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Blobs, PutIf},
};

/// Longest chain with its key, in bytes.
pub const MAX_PEM: usize = 64 << 10;
/// Longest name.
const MAX_NAME: usize = 64;
const PREFIX: &str = "certificate/";
const SUFFIX: &str = ".pem";
/// Certificates that are listed.
const MAX_LISTED: usize = 1_000;

/// What a certificate is called: 1 to 64 lower-case letters, digits, `.`, `-` and `_`, a letter or a digit in front.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateName(String);

impl CertificateName {
    /// Takes a name; `None`: this can be none.
    pub fn new(name: &str) -> Option<Self> {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = |c: char| is_word(c) || matches!(c, '.' | '-' | '_');
        let good = name.len() <= MAX_NAME && name.starts_with(is_word) && name.chars().all(fits);
        good.then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn key(&self) -> String {
        format!("{PREFIX}{}{SUFFIX}", self.0)
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A chain, the leaf first, and behind it the key of the leaf, as PEM. Its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificatePem(pub Bytes);

impl fmt::Debug for CertificatePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificatePem(..)")
    }
}

/// The contract.
#[async_trait]
pub trait CertificateRepository: Send + Sync + 'static {
    /// A certificate as it was put last; `None`: there is none of this name.
    async fn load(&self, name: &CertificateName) -> Result<Option<CertificatePem>>;
    /// Puts a certificate in the place of the one of this name. `TooLarge` above [`MAX_PEM`].
    async fn put(&self, name: &CertificateName, pem: CertificatePem) -> Result<()>;
    /// Removes a certificate; absent is fine.
    async fn remove(&self, name: &CertificateName) -> Result<()>;
    /// The names of all, in order; a thousand at most.
    async fn list(&self) -> Result<Vec<CertificateName>>;
}

/// Certificates as objects.
pub struct BlobCertificates {
    blobs: Arc<dyn Blobs>,
}

impl BlobCertificates {
    /// Over these objects.
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self { blobs }
    }
}

#[async_trait]
impl CertificateRepository for BlobCertificates {
    async fn load(&self, name: &CertificateName) -> Result<Option<CertificatePem>> {
        let found = self.blobs.get(&name.key()).await?;
        Ok(found.map(|blob| CertificatePem(blob.bytes)))
    }

    async fn put(&self, name: &CertificateName, pem: CertificatePem) -> Result<()> {
        if pem.0.len() > MAX_PEM {
            let context = format!("a chain with its key may have {MAX_PEM} bytes");
            return Err(Error::new(ErrorKind::TooLarge, context));
        }
        self.blobs.put(&name.key(), pem.0, PutIf::Any).await?;
        Ok(())
    }

    async fn remove(&self, name: &CertificateName) -> Result<()> {
        self.blobs.remove(&name.key()).await
    }

    async fn list(&self) -> Result<Vec<CertificateName>> {
        let keys = self.blobs.list(PREFIX, None, MAX_LISTED).await?;
        let name = |key: &String| {
            let name = key.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
            CertificateName::new(name)
        };
        let mut names: Vec<_> = keys.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::MemoryBlobs;

    fn name(name: &str) -> CertificateName {
        CertificateName::new(name).unwrap()
    }

    #[tokio::test]
    async fn what_is_put_last_is_read() {
        let certificates = BlobCertificates::new(Arc::new(MemoryBlobs::new()));
        let (main, other) = (name("example.org"), name("b"));
        assert_eq!(certificates.load(&main).await.unwrap(), None);
        for text in ["first", "second"] {
            let pem = CertificatePem(Bytes::from_static(text.as_bytes()));
            certificates.put(&main, pem.clone()).await.unwrap();
            assert_eq!(certificates.load(&main).await.unwrap(), Some(pem));
        }
        let pem = CertificatePem(Bytes::from_static(b"other"));
        certificates.put(&other, pem).await.unwrap();
        assert_eq!(certificates.list().await.unwrap(), [other, main.clone()]);
        certificates.remove(&main).await.unwrap();
        certificates.remove(&main).await.unwrap();
        assert_eq!(certificates.load(&main).await.unwrap(), None);
        let large = CertificatePem(Bytes::from(vec![b'x'; MAX_PEM + 1]));
        let refused = certificates.put(&main, large).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["a", "example.org", "2026-1_b"] {
            assert!(CertificateName::new(good).is_some(), "{good}");
        }
        let long = "a".repeat(MAX_NAME + 1);
        for wrong in ["", ".", "..", "../u", "a/b", "A", "ä", "-a", long.as_str()] {
            assert!(CertificateName::new(wrong).is_none(), "{wrong}");
        }
        let pem = CertificatePem(Bytes::from_static(b"hush"));
        assert!(!format!("{pem:?}").contains("hush"));
    }
}
