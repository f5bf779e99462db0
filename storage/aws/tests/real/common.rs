//! Servers and options for the tests of this crate.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use services::{Dynoxide, Faults, SeaweedFs};
use storage::layer::{Observer, RetryPolicy, Usage, measured::Observation};
use storage_aws::{Access, DynamoOptions, DynamoTable, S3Blobs, S3Options, Timeouts, setup};

/// Quick retries, and a budget that a test does not use up.
pub(crate) fn retry() -> RetryPolicy {
    RetryPolicy {
        attempts: 6,
        first: Duration::from_millis(2),
        longest: Duration::from_millis(20),
        saved: 10_000,
        ..RetryPolicy::default()
    }
}

pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(5),
        attempt: Duration::from_secs(30),
        operation: Duration::from_secs(60),
    }
}

pub(crate) fn dynamo_options(server: &Dynoxide, url: String) -> DynamoOptions {
    DynamoOptions {
        access: Access {
            endpoint: Some(url),
            region: Some("eu-west-1".into()),
            credentials_file: Some(server.credentials()),
            ..Access::default()
        },
        timeouts: timeouts(),
        retry: retry(),
        ..DynamoOptions::default()
    }
}

pub(crate) fn s3_options(server: &SeaweedFs, url: String, bucket: &str) -> S3Options {
    S3Options {
        access: Access {
            endpoint: Some(url),
            region: Some("us-east-1".into()),
            credentials_file: Some(server.credentials()),
            ..Access::default()
        },
        path_style: true,
        timeouts: timeouts(),
        large: timeouts(),
        retry: retry(),
        ..S3Options::new(bucket)
    }
}

/// A server, its tables, and a table over a proxy.
pub(crate) struct Dynamo {
    pub(crate) server: Dynoxide,
    pub(crate) faults: Faults,
    pub(crate) options: DynamoOptions,
    pub(crate) spent: Arc<Spent>,
}

impl Dynamo {
    pub(crate) async fn start() -> Self {
        let server = Dynoxide::start().expect("dynoxide");
        let faults = Faults::start(&server.url()).await.expect("a proxy");
        let direct = dynamo_options(&server, server.url());
        setup::init_tables(&direct, &|_| ()).await.expect("tables");
        Self {
            options: dynamo_options(&server, faults.url()),
            server,
            faults,
            spent: Arc::default(),
        }
    }
    /// Past the proxy.
    pub(crate) async fn direct(&self) -> DynamoTable {
        DynamoTable::open(&dynamo_options(&self.server, self.server.url())).await
    }
    /// Through the proxy.
    pub(crate) async fn table(&self) -> DynamoTable {
        let table = DynamoTable::open(&self.options).await;
        table.with_observer(self.spent.clone())
    }
}

/// The same of S3.
pub(crate) struct S3 {
    pub(crate) server: SeaweedFs,
    pub(crate) faults: Faults,
    pub(crate) options: S3Options,
    pub(crate) spent: Arc<Spent>,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let server = SeaweedFs::start().expect("seaweedfs");
        let faults = Faults::start(&server.url()).await.expect("a proxy");
        let direct = s3_options(&server, server.url(), "starling");
        setup::init_bucket(&direct, &|_| ())
            .await
            .expect("a bucket");
        Self {
            options: s3_options(&server, faults.url(), "starling"),
            server,
            faults,
            spent: Arc::default(),
        }
    }
    pub(crate) async fn direct(&self) -> S3Blobs {
        S3Blobs::open(&s3_options(&self.server, self.server.url(), "starling")).await
    }
    pub(crate) async fn blobs(&self) -> S3Blobs {
        let blobs = S3Blobs::open(&self.options).await;
        blobs.with_observer(self.spent.clone())
    }
}

/// Keeps what was told.
#[derive(Default)]
pub(crate) struct Spent(Mutex<Vec<Usage>>);

impl Spent {
    /// What was told since it was last asked.
    pub(crate) fn take(&self) -> Vec<Usage> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Observer for Spent {
    fn observe(&self, _: &Observation) {}
    fn spent(&self, usage: &Usage) {
        self.0.lock().push(*usage);
    }
}
