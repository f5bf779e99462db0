//! Reads: an object, a part of it, a list; and removals, which are repeated as freely.

use std::ops::Range;

use aws_sdk_s3::{error::SdkError, operation::get_object::GetObjectOutput};
use bytes::Bytes;
use storage::{Result, shape::Blob};

use super::{Inner, key};
use crate::{
    failure::{Failure, persist},
    tally::Tally,
};

/// S3 lists no more at once.
const PAGE: usize = 1000;

/// What a part of an object may turn out to be.
enum Part {
    Absent,
    Beyond,
    Bytes(Blob),
}

impl Inner {
    pub(super) async fn get(&self, key: &str, tally: &Tally) -> Result<Option<Blob>> {
        Ok(match self.fetch(key, None, tally).await? {
            Part::Bytes(blob) => Some(blob),
            Part::Absent | Part::Beyond => None,
        })
    }

    pub(super) async fn get_range(
        &self,
        key: &str,
        range: Range<u64>,
        tally: &Tally,
    ) -> Result<Option<Bytes>> {
        // S3 knows no empty range; whether there is an object is to be told all the same.
        let empty = range.is_empty();
        let (first, last) = if empty {
            (0, 0)
        } else {
            (range.start, range.end - 1)
        };
        let asked = Some(format!("bytes={first}-{last}"));
        Ok(match self.fetch(key, asked, tally).await? {
            Part::Absent => None,
            Part::Beyond => Some(Bytes::new()),
            Part::Bytes(_) if empty => Some(Bytes::new()),
            Part::Bytes(blob) => Some(blob.bytes),
        })
    }

    async fn fetch(&self, key: &str, range: Option<String>, tally: &Tally) -> Result<Part> {
        let (object, what) = (self.object(key)?, self.what());
        let ask = || async {
            let found = self
                .client
                .get_object()
                .bucket(&self.options.bucket)
                .key(&object)
                .set_range(range.clone())
                .customize()
                .interceptor(tally.counting())
                .send()
                .await;
            match found {
                Ok(found) => collect(&what, found).await.map(Part::Bytes),
                Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => {
                    Ok(Part::Absent)
                }
                Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 416 => {
                    Ok(Part::Beyond)
                }
                Err(error) => Err(Failure::of(&what, error)),
            }
        };
        persist(&self.retries, tally, ask)
            .await
            .map_err(Failure::into_error)
    }

    pub(super) async fn remove(&self, key: &str, tally: &Tally) -> Result<()> {
        let (object, what) = (self.object(key)?, self.what());
        let ask = || async {
            let removed = self.client.delete_object();
            let removed = removed.bucket(&self.options.bucket).key(&object);
            let removed = removed.customize().interceptor(tally.counting());
            match removed.send().await {
                Ok(_) => Ok(()),
                Err(error) if code(&error) == Some("NoSuchKey") => Ok(()),
                Err(error) => Err(Failure::of(&what, error)),
            }
        };
        persist(&self.retries, tally, ask)
            .await
            .map_err(Failure::into_error)
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        tally: &Tally,
    ) -> Result<Vec<String>> {
        let (mut found, mut after) = (Vec::new(), after.filter(|after| !after.is_empty()));
        for shard in key::shards(prefix, after) {
            let left = limit - found.len();
            if left == 0 {
                break;
            }
            // It is in the first of them.
            let of_shard = self.list_shard(shard, prefix, after.take(), left, tally);
            found.extend(of_shard.await?);
        }
        Ok(found)
    }

    async fn list_shard(
        &self,
        shard: char,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        tally: &Tally,
    ) -> Result<Vec<String>> {
        let within = key::in_shard(&self.options.prefix, shard, "");
        let (beginning, what) = (format!("{within}{prefix}"), self.what());
        let mut after = after.map(|after| format!("{within}{after}"));
        let mut found = Vec::new();
        while found.len() < limit {
            let wanted = (limit - found.len()).min(PAGE);
            let ask = || async {
                self.client
                    .list_objects_v2()
                    .bucket(&self.options.bucket)
                    .prefix(&beginning)
                    .set_start_after(after.clone())
                    .max_keys(i32::try_from(wanted).unwrap_or(i32::MAX))
                    .customize()
                    .interceptor(tally.counting())
                    .send()
                    .await
                    .map_err(|error| Failure::of(&what, error))
            };
            let page = persist(&self.retries, tally, ask)
                .await
                .map_err(Failure::into_error)?;
            let objects = page.contents.unwrap_or_default();
            let keys = objects.into_iter().filter_map(|object| object.key);
            let before = found.len();
            for object in keys {
                found.extend(object.strip_prefix(&within).map(str::to_owned));
                after = Some(object);
            }
            // A page without keys would not end.
            if page.is_truncated != Some(true) || found.len() == before {
                break;
            }
        }
        Ok(found)
    }
}

pub(super) fn code<E: aws_sdk_s3::error::ProvideErrorMetadata>(
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> Option<&str> {
    error.as_service_error().and_then(|error| error.code())
}

async fn collect(what: &str, found: GetObjectOutput) -> Result<Blob, Failure> {
    let tag = found.e_tag.unwrap_or_default();
    let cut = |error: aws_sdk_s3::primitives::ByteStreamError| {
        Failure::unexpected(what, format!("the object broke off: {error}"))
    };
    let bytes = found.body.collect().await.map_err(cut)?.into_bytes();
    Ok(Blob { bytes, tag })
}
