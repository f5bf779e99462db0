//! Whatever the network and S3 do to a call, it is done once or told not to be known.

use std::{sync::Arc, time::Duration};

use crate::common::S3;
use bytes::Bytes;
use services::{Fault, faults::Asked};
use storage::{
    ErrorKind, Result,
    layer::Call,
    shape::{Blobs, PutIf},
};
use storage_aws::{S3Blobs, S3Options, Timeouts};
use tokio::sync::Semaphore;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Get,
    Range,
    List,
    Remove,
    Create,
    Replace,
    Overwrite,
    Large,
}

const ALL: [Op; 8] = [
    Op::Get,
    Op::Range,
    Op::List,
    Op::Remove,
    Op::Create,
    Op::Replace,
    Op::Overwrite,
    Op::Large,
];

fn key(case: &str) -> String {
    format!("faults/{case}/object")
}

fn large() -> Bytes {
    (0..11u32 << 20).map(|at| (at % 251) as u8).collect()
}

impl Op {
    /// What is there before; its tag.
    async fn prepare(self, blobs: &S3Blobs, case: &str) -> String {
        if matches!(self, Self::Create | Self::Large) {
            return String::new();
        }
        let put = blobs.put(&key(case), "old".into(), PutIf::Absent).await;
        put.unwrap()
    }

    async fn run(self, blobs: &S3Blobs, case: &str, tag: &str) -> Result<()> {
        let key = key(case);
        let put = async |bytes: Bytes, condition| {
            let tag = blobs.put(&key, bytes, condition).await?;
            assert!(!tag.is_empty());
            Ok(())
        };
        match self {
            Self::Get => {
                let found = blobs.get(&key).await?.unwrap();
                assert_eq!((&found.bytes[..], &found.tag[..]), (&b"old"[..], tag));
                Ok(())
            }
            Self::Range => {
                let found = blobs.get_range(&key, 1..2).await?.unwrap();
                assert_eq!(found, "l");
                Ok(())
            }
            Self::List => {
                let found = blobs.list(&format!("faults/{case}/"), None, 10).await?;
                assert_eq!(found, [key]);
                Ok(())
            }
            Self::Remove => blobs.remove(&key).await,
            Self::Create => put("new".into(), PutIf::Absent).await,
            Self::Replace => put("new".into(), PutIf::Match(tag.into())).await,
            Self::Overwrite => put("new".into(), PutIf::Any).await,
            Self::Large => put(large(), PutIf::Absent).await,
        }
    }

    fn expected(self, done: bool) -> Option<Bytes> {
        match self {
            Self::Create | Self::Large | Self::Replace | Self::Overwrite if done => {
                Some(if self == Self::Large {
                    large()
                } else {
                    "new".into()
                })
            }
            Self::Create | Self::Large => None,
            Self::Remove if done => None,
            _ => Some("old".into()),
        }
    }
}

fn anything(_: &Asked<'_>) -> bool {
    true
}

async fn assert_object(blobs: &S3Blobs, case: &str, expected: Option<Bytes>) {
    let found = blobs.get(&key(case)).await.unwrap().map(|blob| blob.bytes);
    assert!(
        found == expected,
        "{case}: {:?} bytes",
        found.map(|found| found.len())
    );
}

/// Each call under each fault: once, twice, and for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_on_every_call() {
    use ErrorKind::{Throttled, Unavailable};
    let s3 = S3::start().await;
    let options = S3Options {
        multipart_from: 1 << 20,
        part: 5 << 20,
        ..s3.options.clone()
    };
    let (direct, blobs) = (s3.direct().await, S3Blobs::open(&options).await);
    for (name, fault, kind) in [
        ("slow down", Fault::s3(503, "SlowDown"), Throttled),
        ("internal", Fault::s3(500, "InternalError"), Unavailable),
        ("service", Fault::s3(503, "ServiceUnavailable"), Unavailable),
        ("reset", Fault::Reset, Unavailable),
        ("lost", Fault::LoseAnswer, Unavailable),
        ("cut", Fault::CutAnswer, Unavailable),
    ] {
        for op in ALL {
            for times in [1, 2, 1000] {
                let case = format!("{name} {op:?} {times}");
                let tag = op.prepare(&direct, &case).await;
                s3.faults.clear();
                s3.faults.add(times, fault.clone(), anything);
                let result = op.run(&blobs, &case, &tag).await;
                let failed = result.as_ref().err().map(|error| error.kind());
                // An answer without a body cannot be cut.
                let harmless = name == "cut" && failed.is_none();
                if times < 1000 {
                    assert_eq!(failed, None, "{case}: {result:?}");
                } else if !harmless {
                    assert_eq!(failed, Some(kind), "{case}");
                }
                assert!(s3.faults.hits() >= times.min(1), "{case}");
                s3.faults.clear();
                let lost = name == "lost" || name == "cut";
                let done = failed.is_none() || (lost && op != Op::Large);
                assert_object(&direct, &case, op.expected(done)).await;
            }
        }
    }
}

/// The answer to the last step of a large put is lost: its repeat finds the object, and that it is its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_completion() {
    let s3 = S3::start().await;
    let options = S3Options {
        multipart_from: 1 << 20,
        part: 5 << 20,
        ..s3.options.clone()
    };
    let blobs = S3Blobs::open(&options)
        .await
        .with_observer(s3.spent.clone());
    let completes = |asked: &Asked<'_>| asked.method == "POST" && asked.path.contains("uploadId=");
    for (case, fault) in [("lost", Fault::LoseAnswer), ("reset", Fault::Reset)] {
        s3.faults.clear();
        s3.faults.add(1, fault, completes);
        let tag = blobs.put(&key(case), large(), PutIf::Absent).await.unwrap();
        assert_eq!(s3.faults.hits(), 1);
        let found = blobs.get(&key(case)).await.unwrap().unwrap();
        assert!(found.bytes == large() && found.tag == tag);
        let range = blobs.get_range(&key(case), (6 << 20)..(6 << 20) + 3).await;
        assert_eq!(range.unwrap().unwrap(), large()[6 << 20..(6 << 20) + 3]);
        let refused = blobs.put(&key(case), large(), PutIf::Absent).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        let other = PutIf::Match("\"other\"".into());
        let other = blobs.put(&key(case), large(), other).await;
        assert_eq!(other.unwrap_err().kind(), ErrorKind::Conflict);
        let replaced = blobs.put(&key(case), large(), PutIf::Match(tag)).await;
        replaced.unwrap();
    }
    let spent = s3.spent.take();
    assert!(spent.iter().all(|usage| usage.space.is_none()));
    let put = spent
        .iter()
        .find(|usage| usage.call == Call::BlobPut)
        .unwrap();
    assert!(put.sent > 11 << 20 && put.retries >= 1, "{put:?}");
    assert!(
        put.requests >= 6,
        "begin, three parts, complete twice: {put:?}"
    );
}

/// An upload that somebody aborted is no conflict: nothing is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_gone() {
    let s3 = S3::start().await;
    let options = S3Options {
        multipart_from: 1 << 20,
        part: 5 << 20,
        ..s3.options.clone()
    };
    let (direct, blobs) = (s3.direct().await, S3Blobs::open(&options).await);
    let completes = |asked: &Asked<'_>| asked.method == "POST" && asked.path.contains("uploadId=");
    s3.faults.add(1, Fault::s3(404, "NoSuchUpload"), completes);
    let put = blobs.put(&key("gone"), large(), PutIf::Absent).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(s3.faults.hits(), 1, "it is not asked for again");
    assert_object(&direct, "gone", None).await;
}

/// Another writes between a put whose answer was lost and its repeat: that is neither success nor conflict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_and_another_in_between() {
    let s3 = S3::start().await;
    let (direct, blobs) = (s3.direct().await, Arc::new(s3.blobs().await));
    for op in [Op::Create, Op::Replace] {
        let case = format!("{op:?} between");
        let tag = op.prepare(&direct, &case).await;
        let gate = Arc::new(Semaphore::new(0));
        s3.faults.clear();
        s3.faults.add(1, Fault::LoseAnswer, anything);
        s3.faults.add(1, Fault::Hold(gate.clone()), anything);
        let (putting, at) = (blobs.clone(), case.clone());
        let putting = tokio::spawn(async move { op.run(&putting, &at, &tag).await });
        while s3.faults.hits() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_object(&direct, &case, Some("new".into())).await;
        direct
            .put(&key(&case), "other".into(), PutIf::Any)
            .await
            .unwrap();
        gate.add_permits(1);
        let ended = putting.await.unwrap().unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::Unavailable, "{ended}");
        assert_object(&direct, &case, Some("other".into())).await;
    }
}

/// What comes too late is asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers() {
    let s3 = S3::start().await;
    let options = S3Options {
        timeouts: Timeouts {
            attempt: Duration::from_secs(1),
            ..s3.options.timeouts
        },
        ..s3.options.clone()
    };
    let (direct, blobs) = (s3.direct().await, S3Blobs::open(&options).await);
    for (name, fault) in [
        ("before", Fault::Delay(Duration::from_secs(20))),
        ("behind", Fault::DelayAnswer(Duration::from_secs(20))),
    ] {
        for op in ALL {
            let case = format!("slow {name} {op:?}");
            let tag = op.prepare(&direct, &case).await;
            s3.faults.clear();
            s3.faults.add(1, fault.clone(), anything);
            let result = op.run(&blobs, &case, &tag).await;
            result.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_object(&direct, &case, op.expected(true)).await;
        }
    }
}

/// What the operator must mend is a sentence, told at once, and never `None`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_must_mend() {
    let s3 = S3::start().await;
    let (direct, blobs) = (s3.direct().await, s3.blobs().await);
    let missing = S3Options {
        bucket: "nobodys".into(),
        ..s3.options.clone()
    };
    let missing = S3Blobs::open(&missing).await;
    for op in ALL {
        let case = format!("denied {op:?}");
        let tag = op.prepare(&direct, &case).await;
        s3.faults.clear();
        s3.faults
            .add(1000, Fault::s3(403, "AccessDenied"), anything);
        let error = op.run(&blobs, &case, &tag).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}");
        let text = "S3 bucket starling: not permitted for these credentials";
        assert_eq!(error.to_string(), text, "{case}");
        assert_eq!(s3.faults.asked(), 1, "{case}");
        s3.faults.clear();
        s3.faults
            .add(1000, Fault::s3(404, "NoSuchBucket"), anything);
        let error = op.run(&missing, &case, &tag).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}");
        let text = "S3 bucket nobodys: does not exist; `starling init` creates it";
        assert_eq!(error.to_string(), text, "{case}");
    }
}
