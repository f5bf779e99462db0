//! Puts: an object at once, and what a refusal of it means.

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use storage::{Error, ErrorKind, Result, shape::PutIf};

use super::{Inner, key::content_type, read::code};
use crate::{
    failure::{Failure, persist},
    tally::Tally,
    write_id::WriteId,
};

/// The metadata that holds the id of the write.
pub(super) const WRITE: &str = "w";

/// Why an attempt did not succeed.
pub(super) enum Refusal {
    /// The condition does not hold.
    Condition,
    /// There is no such upload any more: an attempt before this one completed it, or somebody aborted it.
    Gone(Failure),
    Failed(Failure),
}

/// A condition as the headers `If-Match` and `If-None-Match`.
pub(super) fn headers(condition: &PutIf) -> (Option<String>, Option<String>) {
    match condition {
        PutIf::Any => (None, None),
        PutIf::Absent => (None, Some("*".to_owned())),
        // A tag that was not S3's is nobody's, but a header that cannot be read is an error.
        PutIf::Match(tag) if tag.starts_with('"') => (Some(tag.clone()), None),
        PutIf::Match(tag) => (Some(format!("\"{tag}\"")), None),
    }
}

pub(super) fn checksum(bytes: &[u8]) -> String {
    STANDARD.encode(digest(&SHA256, bytes))
}

impl Inner {
    /// What a failed put means: 412, and 404 for a tag where nothing is.
    pub(super) fn refused<E>(&self, error: SdkError<E, HttpResponse>) -> Refusal
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|raw| raw.status().as_u16());
        let known = ["NoSuchKey", "PreconditionFailed"];
        if code(&error) == Some("NoSuchUpload") {
            Refusal::Gone(Failure::of(&self.what(), error))
        } else if status == Some(412) || code(&error).is_some_and(|code| known.contains(&code)) {
            Refusal::Condition
        } else {
            Refusal::Failed(Failure::of(&self.what(), error))
        }
    }

    pub(super) async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: PutIf,
        tally: &Tally,
    ) -> Result<String> {
        let (object, id) = (self.object(key)?, WriteId::random());
        let (if_match, if_none_match) = headers(&condition);
        let checksum = checksum(&bytes);
        let size = bytes.len();
        self.settle(&object, &id, size, tally, || async {
            let put = self
                .client
                .put_object()
                .bucket(&self.options.bucket)
                .key(&object)
                .metadata(WRITE, id.hex())
                .checksum_sha256(&checksum)
                .set_content_type(content_type(key).map(str::to_owned))
                .set_if_match(if_match.clone())
                .set_if_none_match(if_none_match.clone())
                .body(ByteStream::from(bytes.clone()))
                .customize()
                .config_override(self.time(size))
                .interceptor(tally.counting())
                .send()
                .await
                .map_err(|error| self.refused(error))?;
            Ok(put.e_tag.unwrap_or_default())
        })
        .await
    }

    /// Tries a put of this size until it is done, refused, or given up.
    pub(super) async fn settle<F>(
        &self,
        object: &str,
        id: &WriteId,
        size: usize,
        tally: &Tally,
        attempt: impl Fn() -> F,
    ) -> Result<String>
    where
        F: Future<Output = Result<String, Refusal>> + Send,
    {
        let (mut attempts, mut doubt) = (self.retries(size).start(), false);
        loop {
            let failure = match attempt().await {
                Ok(tag) => return Ok(tag),
                Err(Refusal::Condition) if !doubt => {
                    return Err(Error::new(ErrorKind::Conflict, "condition not met"));
                }
                Err(Refusal::Gone(failure)) if !doubt => return Err(failure.into_error()),
                Err(Refusal::Condition | Refusal::Gone(_)) => {
                    return self.find_own(object, id, tally).await;
                }
                Err(Refusal::Failed(failure)) => failure,
            };
            doubt |= failure.doubt;
            if !failure.again(&mut attempts, tally).await {
                return Err(if doubt {
                    failure.into_doubtful_error()
                } else {
                    failure.into_error()
                });
            }
        }
    }

    /// After an answer was lost and the repeat was refused: the tag of the object, if it is of this write.
    async fn find_own(&self, object: &str, id: &WriteId, tally: &Tally) -> Result<String> {
        let what = self.what();
        let ask = || async {
            let head = self.client.head_object();
            let head = head.bucket(&self.options.bucket).key(object);
            let head = head.customize().interceptor(tally.counting());
            match head.send().await {
                Ok(found) => Ok(Some(found)),
                Err(error)
                    if error
                        .raw_response()
                        .is_some_and(|raw| raw.status().as_u16() == 404) =>
                {
                    Ok(None)
                }
                Err(error) => Err(Failure::of(&what, error)),
            }
        };
        let found = persist(&self.retries, tally, ask)
            .await
            .map_err(Failure::into_doubtful_error)?;
        let own = found.filter(|found| {
            let metadata = found.metadata.as_ref();
            metadata.and_then(|metadata| metadata.get(WRITE)) == Some(&id.hex())
        });
        own.map(|found| found.e_tag.unwrap_or_default())
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("{what}: an answer was lost, and another object is there"),
                )
            })
    }
}
