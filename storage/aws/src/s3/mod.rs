//! S3 as blobs.
//!
//! A tag is the object's `ETag`. Every object bears a SHA-256, which S3 compares and gives back, and the SDK compares
//! when it is read; and the id of the write that made it (`x-amz-meta-w`), so that a conditional put whose answer was
//! lost finds itself when its repeat is refused. Who finds another's instead cannot know whether it was overwritten:
//! `Unavailable`.
//!
//! Source: the API reference of S3 2006-03-01; "Conditional writes" of its user guide.

mod key;
mod parts;
mod presign;
mod put;
mod read;
pub(crate) mod setup;

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
};
use bytes::Bytes;
use storage::{
    Result,
    layer::{Call, Observer, Retries},
    shape::{Blob, Blobs, PutIf},
};

pub use self::presign::Presigned;
use crate::{S3Options, tally::Tally};

/// The blobs of a bucket.
#[derive(Clone)]
pub struct S3Blobs {
    inner: Arc<Inner>,
    observer: Option<Arc<dyn Observer>>,
}

/// What the parts of an upload share with it.
struct Inner {
    client: Client,
    options: S3Options,
    retries: Retries,
    /// Of what is large.
    patient: Retries,
}

impl Inner {
    /// The retries of requests that send so many bytes.
    fn retries(&self, bytes: usize) -> &Retries {
        match bytes {
            S3Options::LARGE.. => &self.patient,
            _ => &self.retries,
        }
    }
    /// What differs for a request that sends so many bytes. The rest of the time-outs stays as it is.
    fn time(&self, bytes: usize) -> Builder {
        let timeouts = match bytes {
            S3Options::LARGE.. => &self.options.large,
            _ => &self.options.timeouts,
        };
        let time = TimeoutConfig::builder().operation_attempt_timeout(timeouts.attempt);
        aws_sdk_s3::config::Config::builder().timeout_config(time.build())
    }

    fn what(&self) -> String {
        format!("S3 bucket {}", self.options.bucket)
    }
    fn object(&self, key: &str) -> Result<String> {
        key::object(&self.options.prefix, key)
    }
}

impl S3Blobs {
    /// The blobs of this bucket. Asks nothing of the network: [`check`](crate::setup::check_bucket) does.
    pub async fn open(options: &S3Options) -> Self {
        let found = options.access.load(&options.timeouts).await;
        let config = Builder::from(&found)
            .force_path_style(options.path_style)
            .build();
        let inner = Inner {
            client: Client::from_conf(config),
            options: options.clone(),
            retries: Retries::new(options.timeouts.bound(&options.retry)),
            patient: Retries::new(options.large.bound(&options.retry)),
        };
        Self {
            inner: Arc::new(inner),
            observer: None,
        }
    }
    /// Tells this observer what each call costs ([`Observer::spent`]).
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    fn tell<T>(&self, tally: &Tally, result: &Result<T>) {
        tally.tell(self.observer.as_ref(), result);
    }
}

#[async_trait]
impl Blobs for S3Blobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>> {
        let tally = Tally::new(Call::BlobGet, None).about("object");
        let result = self.inner.get(key, &tally).await;
        self.tell(&tally, &result);
        result
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let tally = Tally::new(Call::BlobGet, None).about("object");
        let result = self.inner.get_range(key, range, &tally).await;
        self.tell(&tally, &result);
        result
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: PutIf) -> Result<String> {
        let tally = Arc::new(Tally::new(Call::BlobPut, None).about("object"));
        let result = if bytes.len() < self.inner.options.multipart_from {
            self.inner.put(key, bytes, condition, &tally).await
        } else {
            parts::put(&self.inner, key, bytes, condition, &tally).await
        };
        self.tell(&tally, &result);
        result
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let tally = Tally::new(Call::BlobRemove, None).about("object");
        let result = self.inner.remove(key, &tally).await;
        self.tell(&tally, &result);
        result
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let tally = Tally::new(Call::BlobList, None).about("object");
        let result = self.inner.list(prefix, after, limit, &tally).await;
        self.tell(&tally, &result);
        result
    }
}
