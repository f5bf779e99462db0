//! The suites of the shapes and of every repository over the real interfaces.

use std::sync::Arc;

use crate::common::{Dynamo, S3};
use storage::{
    ManualClock, Stores,
    conformance::{self, Subject},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table() {
    let (dynamo, clock) = (Dynamo::start().await, ManualClock::at(1_800_000_000));
    let table = dynamo.direct().await.with_clock(Arc::new(clock.clone()));
    conformance::table(Subject {
        largest: 399 << 10,
        ..Subject::new(table, clock)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs() {
    let s3 = S3::start().await;
    // SeaweedFS keeps objects as files, whose names have 255 bytes at most.
    let direct = Arc::new(s3.direct().await);
    conformance::blobs_with_segments(direct, "run", 250).await;
}

/// Long keys of others in front, and what is longer than a few bytes in parts. (Of those who complete uploads at the same
/// moment, SeaweedFS lets several win; what races is shorter.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_in_parts() {
    let s3 = S3::start().await;
    let options = storage_aws::S3Options {
        multipart_from: 3,
        prefix: "others/".into(),
        ..s3.options.clone()
    };
    let parts = storage_aws::S3Blobs::open(&options).await;
    conformance::blobs_with_segments(Arc::new(parts), "run", 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories() {
    let (dynamo, s3) = (Dynamo::start().await, S3::start().await);
    let stores = Stores::over(Arc::new(dynamo.direct().await), Arc::new(s3.direct().await));
    conformance::stores(&stores).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clusters_share() {
    let (dynamo, clock) = (Dynamo::start().await, ManualClock::at(1_800_000_000));
    let table = dynamo.direct().await.with_clock(Arc::new(clock.clone()));
    conformance::control(Arc::new(table), clock).await;
}
