//! `init` and `check`, and addresses that are signed.

use std::time::Duration;

use crate::common::{Dynamo, S3, dynamo_options, s3_options};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use services::{Dynoxide, Fault, SeaweedFs};
use storage::{
    ErrorKind, Result,
    shape::{Blobs, PutIf},
};
use storage_aws::{DynamoOptions, Presigned, Report, S3Options, setup};
use tokio::net::TcpStream;

fn refused<T: std::fmt::Debug>(result: Result<T>, sentence: &str) {
    let error = result.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().starts_with(sentence), "{error}");
}

fn line<'a>(report: &'a str, what: &str) -> &'a str {
    let line = report.lines().find(|line| line.starts_with(what));
    line.unwrap_or_else(|| panic!("{what} in {report}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once() {
    let server = Dynoxide::start().unwrap();
    let options = dynamo_options(&server, server.url());
    let missing = "DynamoDB table starling-core does not exist; `starling init` creates it";
    refused(setup::check_tables(&options).await, missing);
    let report = setup::init_tables(&options, &|_| ()).await.unwrap();
    assert!(!report.is_unchanged());
    let text = report.to_string();
    for name in ["core", "log", "idx", "ctl"] {
        let table = format!("table starling-{name}");
        assert_eq!(
            line(&text, &format!("{table}: done")),
            format!("{table}: done")
        );
        assert_eq!(
            line(&text, &format!("{table}: expiry")),
            format!("{table}: expiry: done")
        );
        let recovery = line(&text, &format!("{table}: point"));
        assert!(
            recovery.ends_with("left out (this endpoint does not know it)"),
            "{recovery}"
        );
    }
    setup::check_tables(&options).await.unwrap();
    let again: Report = setup::init_tables(&options, &|_| ()).await.unwrap();
    assert!(again.is_unchanged(), "{again}");
    assert_eq!(again.steps.len(), report.steps.len());

    // Two nodes at once.
    let other = DynamoOptions {
        prefix: "other-".into(),
        ..options.clone()
    };
    let (one, two) = tokio::join!(
        setup::init_tables(&other, &|_| ()),
        setup::init_tables(&other, &|_| ())
    );
    one.unwrap();
    two.unwrap();
    setup::check_tables(&other).await.unwrap();
}

/// A table of somebody else's is left alone, and named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_another_form_stops_the_start() {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };
    let server = Dynoxide::start().unwrap();
    let options = dynamo_options(&server, server.url());
    let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .endpoint_url(server.url())
        .region("eu-west-1")
        .test_credentials_file(server.credentials())
        .load()
        .await;
    let id = AttributeDefinition::builder()
        .attribute_name("id")
        .attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder()
        .attribute_name("id")
        .key_type(KeyType::Hash);
    aws_sdk_dynamodb::Client::new(&config)
        .create_table()
        .table_name("starling-core")
        .attribute_definitions(id.build().unwrap())
        .key_schema(key.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    let sentence = "DynamoDB table starling-core is not a table of ours";
    refused(setup::check_tables(&options).await, sentence);
    refused(setup::init_tables(&options, &|_| ()).await, sentence);
}

trait TestCredentials {
    fn test_credentials_file(self, file: std::path::PathBuf) -> Self;
}

impl TestCredentials for aws_config::ConfigLoader {
    #[expect(deprecated, reason = "as in options.rs")]
    fn test_credentials_file(self, file: std::path::PathBuf) -> Self {
        use aws_config::profile::{
            ProfileFileCredentialsProvider,
            profile_file::{ProfileFileKind, ProfileFiles},
        };
        let files = ProfileFiles::builder()
            .with_file(ProfileFileKind::Credentials, file)
            .build();
        let provider = ProfileFileCredentialsProvider::builder().profile_files(files);
        self.credentials_provider(provider.build())
    }
}

/// Whatever action is denied, the sentence names it and the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_stops_the_start() {
    let dynamo = Dynamo::start().await;
    for (operation, named) in [
        ("DescribeTable", "DescribeTable"),
        ("GetItem", "GetItem"),
        ("Query", "Query"),
        ("PutItem", "PutItem"),
        ("UpdateItem", "UpdateItem"),
        ("DeleteItem", "DeleteItem"),
        ("TransactWriteItems", "ConditionCheckItem"),
    ] {
        dynamo.faults.clear();
        let denied = Fault::dynamo(400, "AccessDeniedException");
        dynamo.faults.add(1, denied, move |asked| {
            let idx = asked.body.windows(12).any(|part| part == b"starling-idx");
            asked.operation == operation && idx
        });
        let sentence = format!(
            "DynamoDB table starling-idx, dynamodb:{named}: not permitted for these credentials (400 AccessDenied"
        );
        refused(setup::check_tables(&dynamo.options).await, &sentence);
    }
    dynamo.faults.clear();
    setup::check_tables(&dynamo.options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_not_there_stops_the_start() {
    let server = Dynoxide::start().unwrap();
    let nowhere = format!("http://127.0.0.1:{}", services::free_port().unwrap());
    let options = dynamo_options(&server, nowhere);
    let sentence = "DynamoDB table starling-core, dynamodb:DescribeTable: not reached (";
    refused(setup::check_tables(&options).await, sentence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_made_once() {
    let server = SeaweedFs::start().unwrap();
    let options = s3_options(&server, server.url(), "made-once");
    let missing = "S3 bucket made-once does not exist; `starling init` creates it";
    refused(setup::check_bucket(&options).await, missing);
    let report = setup::init_bucket(&options, &|_| ()).await.unwrap();
    let text = report.to_string();
    assert_eq!(line(&text, "bucket made-once: d"), "bucket made-once: done");
    // SeaweedFS does not know it; AWS does.
    let public = line(&text, "bucket made-once: no public");
    assert!(
        public.ends_with("left out (this endpoint does not know it)"),
        "{public}"
    );
    line(&text, "bucket made-once: encryption: done");
    line(&text, "bucket made-once: end of broken uploads: done");
    setup::check_bucket(&options).await.unwrap();
    let again = setup::init_bucket(&options, &|_| ()).await.unwrap();
    assert!(again.is_unchanged(), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_ours_stops_the_start() {
    let s3 = S3::start().await;
    for (method, list, named) in [
        ("HEAD", false, "ListBucket"),
        ("GET", true, "ListBucket"),
        ("GET", false, "GetObject"),
        ("PUT", false, "PutObject"),
        ("DELETE", false, "DeleteObject"),
    ] {
        s3.faults.clear();
        s3.faults
            .add(1, Fault::s3(403, "AccessDenied"), move |asked| {
                asked.method == method && asked.path.contains("list-type=2") == list
            });
        let sentence =
            format!("S3 bucket starling, s3:{named}: not permitted for these credentials (403");
        refused(setup::check_bucket(&s3.options).await, &sentence);
    }
    s3.faults.clear();
    let moved = Fault::Answer(301, "application/xml", String::new());
    s3.faults.add(1, moved, |asked| asked.method == "HEAD");
    let sentence = "S3 bucket starling, in another region than configured";
    refused(setup::check_bucket(&s3.options).await, sentence);
    s3.faults.clear();
    setup::check_bucket(&s3.options).await.unwrap();
    let others = Dynoxide::start().unwrap();
    let wrong = S3Options {
        access: storage_aws::Access {
            credentials_file: Some(others.credentials()),
            ..s3.options.access.clone()
        },
        ..s3.options.clone()
    };
    refused(
        setup::check_bucket(&wrong).await,
        "S3 bucket starling, s3:ListBucket:",
    );
}

/// Sends a request as somebody without credentials would.
async fn send(
    method: &str,
    signed: &Presigned,
    headers: &[(&str, &str)],
    body: &str,
) -> StatusCode {
    let url: hyper::Uri = signed.url.parse().unwrap();
    let authority = url.authority().unwrap().clone();
    let stream = TcpStream::connect(authority.as_str()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(url.path_and_query().unwrap().as_str())
        .header("host", authority.as_str());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(bytes::Bytes::copy_from_slice(body.as_bytes()));
    let answer = sender
        .send_request(request.body(body).unwrap())
        .await
        .unwrap();
    let status = answer.status();
    answer.into_body().collect().await.unwrap();
    status
}

/// Who has a signed address may do that one thing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_addresses() {
    let s3 = S3::start().await;
    let blobs = s3.direct().await;
    let (key, valid) = ("upload/slot/a file.txt", Duration::from_secs(300));
    let put = blobs
        .presign_put(key, 5, "text/plain", valid)
        .await
        .unwrap();
    let get = blobs.presign_get(key, valid).await.unwrap();
    let text = [("content-type", "text/plain")];
    assert_eq!(
        send("PUT", &put, &text, "longer").await,
        StatusCode::FORBIDDEN
    );
    let html = [("content-type", "text/html")];
    assert_eq!(
        send("PUT", &put, &html, "hello").await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(send("DELETE", &put, &text, "").await, StatusCode::FORBIDDEN);
    assert_eq!(send("GET", &get, &[], "").await, StatusCode::NOT_FOUND);
    assert_eq!(blobs.get(key).await.unwrap(), None);
    assert_eq!(send("PUT", &put, &text, "hello").await, StatusCode::OK);
    assert_eq!(blobs.get(key).await.unwrap().unwrap().bytes, "hello");
    assert_eq!(send("GET", &get, &[], "").await, StatusCode::OK);
    let other = Presigned {
        url: get.url.replace("file.txt", "secret.txt"),
        ..get.clone()
    };
    assert_eq!(send("GET", &other, &[], "").await, StatusCode::FORBIDDEN);
    let too_long = blobs
        .presign_get(key, Duration::from_secs(8 * 86_400))
        .await;
    assert_eq!(too_long.unwrap_err().kind(), ErrorKind::NotAllowed);
    // Nothing else became of it.
    let listed = blobs.list("upload/", None, 10).await.unwrap();
    assert_eq!(listed, [key]);
    let put = blobs.put(key, "mine".into(), PutIf::Any).await;
    put.unwrap();
}
