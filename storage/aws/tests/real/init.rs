//! What `init` and the start make of tables that are not ready, or otherwise than `init` makes them, and of access that is
//! not there.

use std::time::Duration;

use parking_lot::Mutex;
use services::{Dynoxide, Fault, Faults, faults::Asked};
use storage::Result;
use storage_aws::{Access, DynamoOptions, Report, S3Options, setup};

use crate::common::{S3, dynamo_options};

/// An answer of DynamoDB.
fn answer(body: impl Into<String>) -> Fault {
    Fault::Answer(200, "application/x-amz-json-1.0", body.into())
}

/// A description of the table `core`, with this in it.
fn described(more: &str) -> Fault {
    answer(format!(
        r#"{{"Table":{{"TableName":"starling-core",{more},
            "AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"B"}},{{"AttributeName":"s","AttributeType":"B"}}],
            "KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}},{{"AttributeName":"s","KeyType":"RANGE"}}]}}}}"#
    ))
}

fn about(operation: &'static str) -> impl Fn(&Asked<'_>) -> bool {
    move |asked| {
        let core = asked.body.windows(13).any(|part| part == b"starling-core");
        asked.operation == operation && core
    }
}

struct Tables {
    faults: Faults,
    options: DynamoOptions,
    told: Mutex<Vec<String>>,
    _server: Dynoxide,
}

impl Tables {
    /// A server without tables, behind a proxy.
    async fn none() -> Self {
        let server = Dynoxide::start().unwrap();
        let faults = Faults::start(&server.url()).await.unwrap();
        Self {
            options: dynamo_options(&server, faults.url()),
            faults,
            told: Mutex::default(),
            _server: server,
        }
    }
    async fn init(&self) -> Result<Report> {
        setup::init_tables(&self.options, &|line| {
            self.told.lock().push(line.to_owned())
        })
        .await
    }
    async fn refused(&self) -> String {
        let refused = setup::check_tables(&self.options).await;
        refused.expect_err("refused").to_string()
    }
    fn assert_told(&self, line: &str) {
        let told = self.told.lock();
        assert!(told.iter().any(|told| told == line), "{line} in {told:?}");
    }
}

/// Backups of a table that was just made are enabled minutes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn point_in_time_recovery_is_waited_for() {
    let tables = Tables::none().await;
    let off = r#"{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED",
        "PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"DISABLED"}}}"#;
    let missing = Fault::dynamo(400, "TableNotFoundException");
    let describes = "DescribeContinuousBackups";
    tables.faults.add(1, missing, about(describes));
    tables.faults.add(100, answer(off), about(describes));
    let unavailable = Fault::dynamo(400, "ContinuousBackupsUnavailableException");
    let updates = "UpdateContinuousBackups";
    tables.faults.add(2, unavailable, about(updates));
    tables.faults.add(1, answer("{}"), about(updates));
    tables.init().await.unwrap();
    tables.assert_told(
        "table starling-core: waiting until DynamoDB can turn on its point-in-time recovery",
    );
    tables.assert_told("table starling-core: point-in-time recovery: done");
    assert_eq!(tables.faults.hits(), 1 + 3 + 3);
}

/// A table that somebody else is making is waited for by `init`, and is not called missing by a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_the_making() {
    let tables = Tables::none().await;
    tables.init().await.unwrap();
    let creating = described(r#""TableStatus":"CREATING""#);
    tables
        .faults
        .add(1, creating.clone(), about("DescribeTable"));
    assert_eq!(
        tables.refused().await,
        "DynamoDB table starling-core exists and is not ready yet: it is being made; try again in a minute"
    );
    tables.faults.add(3, creating, about("DescribeTable"));
    let report = tables.init().await.unwrap();
    assert!(report.is_unchanged(), "{report}");
    assert_eq!(tables.faults.hits(), 4);
    tables.assert_told("table starling-core: waiting until it is there");
    let deleting = described(r#""TableStatus":"DELETING""#);
    tables.faults.add(1, deleting, about("DescribeTable"));
    let refused = tables.refused().await;
    assert!(
        refused.starts_with("DynamoDB table starling-core is being deleted;"),
        "{refused}"
    );
    // While it is changed it serves.
    tables.faults.clear();
    let updating = described(r#""TableStatus":"UPDATING""#);
    tables.faults.add(1, updating, about("DescribeTable"));
    let warnings = setup::check_tables(&tables.options).await.unwrap();
    assert_eq!(
        (warnings.len(), tables.faults.hits()),
        (0, 1),
        "{warnings:?}"
    );
}

/// Another makes the table between our look and our request, and then sets its expiry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_is_faster() {
    let tables = Tables::none().await;
    tables.init().await.unwrap();
    let faults = &tables.faults;
    let missing = Fault::dynamo(400, "ResourceNotFoundException");
    faults.add(1, missing, about("DescribeTable"));
    let off = r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}"#;
    faults.add(2, answer(off), about("DescribeTimeToLive"));
    let in_use = Fault::dynamo(400, "ResourceInUseException");
    faults.add(1, in_use, about("UpdateTimeToLive"));
    let enabled = r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"TimeToLive is already enabled"}"#;
    let enabled = Fault::Answer(400, "application/x-amz-json-1.0", enabled.into());
    faults.add(1, enabled, about("UpdateTimeToLive"));
    let report = tables.init().await.unwrap();
    assert!(report.is_unchanged(), "{report}");
    assert_eq!(faults.hits(), 5);
    tables.assert_told("table starling-core: waiting until its expiry can be set");
}

/// What was done before a failure is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_before_a_failure_are_told() {
    let tables = Tables::none().await;
    let denied = Fault::dynamo(400, "AccessDeniedException");
    tables.faults.add(1, denied, about("UpdateTimeToLive"));
    let error = tables.init().await.unwrap_err().to_string();
    assert!(
        error.contains("dynamodb:UpdateTimeToLive: not permitted"),
        "{error}"
    );
    let told = tables.told.lock().join("\n");
    let lines = "table starling-core: done\ntable starling-core: billing by request: done";
    assert_eq!(told, lines);
}

/// What `init` would have made otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_somebody_else_made() {
    let tables = Tables::none().await;
    tables.init().await.unwrap();
    let provisioned = described(
        r#""TableStatus":"ACTIVE","ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":7}"#,
    );
    let how = "its capacity is provisioned, 5 units for reads and 7 for writes, and what is beyond is throttled";
    tables.faults.add(3, provisioned, about("DescribeTable"));
    let warnings = setup::check_tables(&tables.options).await.unwrap();
    assert_eq!(warnings, [format!("DynamoDB table starling-core: {how}")]);
    tables.init().await.unwrap();
    tables.assert_told(&format!(
        "table starling-core: billing by request: left as it is ({how})"
    ));

    let off = r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}"#;
    tables
        .faults
        .add(1, answer(off), about("DescribeTimeToLive"));
    let warnings = setup::check_tables(&tables.options).await.unwrap();
    let never = "DynamoDB table starling-core never removes what has expired, and grows; `starling init` turns expiry on";
    assert_eq!(warnings, [never]);

    let denied = Fault::dynamo(400, "AccessDeniedException");
    tables.faults.add(1, denied, about("DescribeTimeToLive"));
    let warnings = setup::check_tables(&tables.options).await.unwrap();
    assert!(
        warnings[0].ends_with("whether it expires is not known"),
        "{warnings:?}"
    );

    let other = r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"ttl"}}"#;
    tables
        .faults
        .add(2, answer(other), about("DescribeTimeToLive"));
    for refused in [
        tables.refused().await,
        tables.init().await.unwrap_err().to_string(),
    ] {
        assert!(
            refused.contains("expires by the attribute ttl, not by"),
            "{refused}"
        );
        assert!(
            refused.contains("Enabled=false,AttributeName=ttl`"),
            "{refused}"
        );
    }
}

/// Where credentials and a region were looked for is told, before anything is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_that_is_not_there() {
    let tables = Tables::none().await;
    let directory = tempfile::tempdir().unwrap();
    let (absent, empty) = (
        directory.path().join("absent"),
        directory.path().join("empty"),
    );
    std::fs::write(
        &empty,
        "[other]\naws_access_key_id = a\naws_secret_access_key = b\n",
    )
    .unwrap();
    let good = &tables.options.access;
    let with = |file: &std::path::Path| Access {
        credentials_file: Some(file.to_owned()),
        ..good.clone()
    };
    let no_region = Access {
        region: Some(String::new()),
        ..good.clone()
    };
    let unreadable = format!(
        "the file of credentials {} cannot be read:",
        absent.display()
    );
    for (access, expected) in [
        (with(&absent), unreadable.as_str()),
        (with(&empty), "no credentials for AWS were found ("),
        (no_region, "no region was found: write `region`"),
    ] {
        let dynamo = DynamoOptions {
            access: access.clone(),
            ..tables.options.clone()
        };
        let s3 = S3Options {
            access,
            ..S3Options::new("bucket")
        };
        for error in [
            setup::check_tables(&dynamo).await.unwrap_err(),
            setup::init_tables(&dynamo, &|_| ()).await.unwrap_err(),
            setup::check_bucket(&s3).await.unwrap_err(),
            setup::init_bucket(&s3, &|_| ()).await.unwrap_err(),
        ] {
            let error = format!("{error} {error:?}");
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("Request {"), "{error}");
        }
    }
    assert_eq!(tables.faults.asked(), 0);
}

/// What is large may take longer than what a client waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_have_more_time() {
    use storage::shape::{Blobs, PutIf};
    let s3 = S3::start().await;
    let mut options = s3.options.clone();
    options.timeouts.attempt = Duration::from_secs(1);
    let blobs = storage_aws::S3Blobs::open(&options).await;
    for (size, asked) in [(S3Options::LARGE - 1, 2), (S3Options::LARGE, 1)] {
        s3.faults.clear();
        let slow = Fault::Delay(Duration::from_secs(3));
        s3.faults.add(1, slow, |_| true);
        let bytes = vec![7; size].into();
        blobs.put("slow", bytes, PutIf::Any).await.unwrap();
        assert_eq!(s3.faults.asked(), asked, "{size}");
    }
    let usual = S3Options::new("bucket").timeouts;
    assert!(usual.operation + usual.attempt <= Duration::from_secs(10));
}
