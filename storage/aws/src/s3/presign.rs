//! Signed addresses: who has one may get or put one object for a while, without our credentials and past our nodes.
//!
//! Source: XEP-0363 v1.1 (upload slots); Signature Version 4 in the query. Length and type of a put are signed: another
//! body is refused by S3 itself.

use std::time::Duration;

use aws_sdk_s3::{
    error::SdkError,
    presigning::{PresignedRequest, PresigningConfig},
};
use storage::{Error, ErrorKind, Result};

use super::S3Blobs;
use crate::failure::Failure;

/// A request that is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presigned {
    /// Where to.
    pub url: String,
    /// The headers that are signed and must be sent as they are.
    pub headers: Vec<(String, String)>,
}

impl From<PresignedRequest> for Presigned {
    fn from(request: PresignedRequest) -> Self {
        let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            url: request.uri().to_owned(),
            headers: request.headers().map(header).collect(),
        }
    }
}

fn lifetime(lifetime: Duration) -> Result<PresigningConfig> {
    PresigningConfig::expires_in(lifetime).map_err(|error| {
        Error::new(ErrorKind::NotAllowed, "a signed address for too long").with_source(error)
    })
}

impl S3Blobs {
    /// An address where the object can be got for this long (a week at most). No request is made; whether there is such
    /// an object is not asked.
    ///
    /// # Errors
    /// `NotAllowed` for no key or too long a time; `Unavailable` if there are no credentials.
    pub async fn presign_get(&self, key: &str, valid: Duration) -> Result<Presigned> {
        let (object, valid) = (self.inner.object(key)?, lifetime(valid)?);
        let get = self.inner.client.get_object();
        let get = get.bucket(&self.inner.options.bucket).key(object);
        let signed = get.presigned(valid).await;
        signed
            .map(Presigned::from)
            .map_err(|error| self.unsigned(error))
    }

    /// An address where an object of this length and type can be put for this long (a week at most).
    ///
    /// # Errors
    /// As [`presign_get`](Self::presign_get).
    pub async fn presign_put(
        &self,
        key: &str,
        length: u64,
        content_type: &str,
        valid: Duration,
    ) -> Result<Presigned> {
        let (object, valid) = (self.inner.object(key)?, lifetime(valid)?);
        let length = i64::try_from(length)
            .map_err(|_| Error::new(ErrorKind::TooLarge, "no object is that long"))?;
        let put = self.inner.client.put_object();
        let put = put.bucket(&self.inner.options.bucket).key(object);
        let put = put.content_length(length).content_type(content_type);
        let signed = put.presigned(valid).await;
        signed
            .map(Presigned::from)
            .map_err(|error| self.unsigned(error))
    }

    fn unsigned<E>(&self, error: SdkError<E>) -> Error
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        Failure::of(&self.inner.what(), error).into_error()
    }
}
