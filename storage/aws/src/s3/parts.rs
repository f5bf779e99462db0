//! Parts: how the large are put. The object appears when the upload is completed, under the condition, whole.
//!
//! An upload that failed is aborted; what a dying node leaves is removed by the bucket's lifecycle rule, which `init`
//! sets.

use std::sync::Arc;

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use storage::{Error, ErrorKind, Result, shape::PutIf};
use tokio::task::JoinSet;

use super::{Inner, key::content_type, put};
use crate::{
    S3Options,
    failure::{Failure, persist},
    tally::Tally,
    write_id::WriteId,
};

/// Parts on their way at once.
const AT_ONCE: usize = 4;
/// S3's limit on the parts of an object.
const MAX_PARTS: usize = 10_000;
/// S3's least size of a part that is not the last.
const MIN_PART: usize = 5 << 20;

/// An upload that has begun.
#[derive(Clone)]
struct Upload {
    inner: Arc<Inner>,
    tally: Arc<Tally>,
    object: String,
    id: String,
}

pub(super) async fn put(
    inner: &Arc<Inner>,
    key: &str,
    bytes: Bytes,
    condition: PutIf,
    tally: &Arc<Tally>,
) -> Result<String> {
    let (object, write) = (inner.object(key)?, WriteId::random());
    let upload = Upload {
        id: begin(inner, key, &object, &write, tally).await?,
        inner: inner.clone(),
        tally: tally.clone(),
        object,
    };
    let result = match upload.send(bytes).await {
        Ok(parts) => upload.complete(parts, condition, &write).await,
        Err(error) => Err(error),
    };
    // In doubt it may have been completed, and then there is nothing to abort.
    if result.is_err() {
        upload.abort().await;
    }
    result
}

async fn begin(
    inner: &Inner,
    key: &str,
    object: &str,
    write: &WriteId,
    tally: &Tally,
) -> Result<String> {
    let what = inner.what();
    let ask = || async {
        let begun = inner
            .client
            .create_multipart_upload()
            .bucket(&inner.options.bucket)
            .key(object)
            .metadata(put::WRITE, write.hex())
            .set_content_type(content_type(key).map(str::to_owned))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .customize()
            .interceptor(tally.counting())
            .send()
            .await
            .map_err(|error| Failure::of(&what, error))?;
        let id = begun.upload_id;
        id.ok_or_else(|| Failure::unexpected(&what, "an upload without an id"))
    };
    persist(&inner.retries, tally, ask)
        .await
        .map_err(Failure::into_error)
}

/// The size of the parts of so many bytes.
fn part_size(option: usize, bytes: usize) -> usize {
    option.max(MIN_PART).max(bytes.div_ceil(MAX_PARTS))
}

impl Upload {
    /// Sends all parts, some at once.
    async fn send(&self, bytes: Bytes) -> Result<Vec<CompletedPart>> {
        let size = part_size(self.inner.options.part, bytes.len());
        let mut offsets = (0..bytes.len()).step_by(size).zip(1..);
        let (mut sending, mut done) = (JoinSet::new(), Vec::new());
        loop {
            while sending.len() < AT_ONCE
                && let Some((offset, number)) = offsets.next()
            {
                let part = bytes.slice(offset..bytes.len().min(offset + size));
                let upload = self.clone();
                sending.spawn(async move { upload.part(number, part).await });
            }
            let Some(sent) = sending.join_next().await else {
                break;
            };
            let lost = |error| {
                Error::new(ErrorKind::Unavailable, "the task of a part ended").with_source(error)
            };
            done.push(sent.map_err(lost)??);
        }
        done.sort_by_key(CompletedPart::part_number);
        Ok(done)
    }

    async fn part(&self, number: i32, bytes: Bytes) -> Result<CompletedPart> {
        let (what, checksum) = (self.inner.what(), put::checksum(&bytes));
        let ask = || async {
            self.inner
                .client
                .upload_part()
                .bucket(&self.inner.options.bucket)
                .key(&self.object)
                .upload_id(&self.id)
                .part_number(number)
                .checksum_sha256(&checksum)
                .body(ByteStream::from(bytes.clone()))
                .customize()
                .config_override(self.inner.time(bytes.len()))
                .interceptor(self.tally.counting())
                .send()
                .await
                .map_err(|error| Failure::of(&what, error))
        };
        let sent = persist(self.inner.retries(bytes.len()), &self.tally, ask)
            .await
            .map_err(Failure::into_error)?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .checksum_sha256(checksum)
            .build())
    }

    async fn complete(
        &self,
        parts: Vec<CompletedPart>,
        condition: PutIf,
        write: &WriteId,
    ) -> Result<String> {
        let (if_match, if_none_match) = put::headers(&condition);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let attempt = || async {
            let done = self
                .inner
                .client
                .complete_multipart_upload()
                .bucket(&self.inner.options.bucket)
                .key(&self.object)
                .upload_id(&self.id)
                .multipart_upload(parts.clone())
                .set_if_match(if_match.clone())
                .set_if_none_match(if_none_match.clone())
                .customize()
                // S3 puts the parts together before it answers.
                .config_override(self.inner.time(S3Options::LARGE))
                .interceptor(self.tally.counting())
                .send()
                .await
                .map_err(|error| self.inner.refused(error))?;
            Ok(done.e_tag.unwrap_or_default())
        };
        self.inner
            .settle(&self.object, write, S3Options::LARGE, &self.tally, attempt)
            .await
    }

    /// Once, as well as may be: the lifecycle rule finds what is left.
    async fn abort(&self) {
        let aborted = self
            .inner
            .client
            .abort_multipart_upload()
            .bucket(&self.inner.options.bucket)
            .key(&self.object)
            .upload_id(&self.id)
            .customize()
            .interceptor(self.tally.counting())
            .send()
            .await;
        if let Err(error) = aborted {
            let failure = Failure::of(&self.inner.what(), error);
            tracing::debug!(reason = failure.sentence(), "an upload was not aborted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_the_limits() {
        const MIB: usize = 1 << 20;
        let check = |option, bytes, expected| assert_eq!(part_size(option, bytes), expected);
        check(8 * MIB, 20 * MIB, 8 * MIB);
        check(MIB, 20 * MIB, 5 * MIB);
        check(8 * MIB, 100_000 * MIB, 10 * MIB);
        check(8 * MIB, 100_001 * MIB, 10 * MIB + 105);
    }
}
