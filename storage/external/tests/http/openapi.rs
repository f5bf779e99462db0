//! The published OpenAPI file, held against what goes over the wire in the conformance suites.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use reference_service::Exchange;
use storage::{
    conformance::{accounts, logs, rosters},
    repository::AccountRepository as _,
};
use storage_external::http::{HttpLogs, HttpRosters};
use tokio::runtime::Handle;

use crate::{http, jid, service};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The validator's word, and whether it is content.
fn validated(exchanges: &[serde_json::Value]) -> (bool, String) {
    let cache = std::env::var_os("STARLING_TEST_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("a home");
        Path::new(&home).join(".cache/starling-tests")
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for exchange in exchanges {
        writeln!(file, "{exchange}").unwrap();
    }
    let output = Command::new(cache.join("openapi/bin/python"))
        .arg(root().join("tests/reference_service/validate.py"))
        .arg(root().join("docs/backends/http-api.yaml"))
        .arg(file.path())
        .output()
        .expect("run tests/install");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_said_is_as_the_file_says() {
    let service = service().await;
    let known = crate::accounts(&service);
    accounts(&known).await;
    rosters(&HttpRosters::new(&http(&service), true)).await;
    logs(&HttpLogs::new(&http(&service), Handle::current())).await;
    let bob = jid("bob@a.example");
    service.set_password(&bob, "secret", "right");
    for account in [bob, jid("nobody@a.example")] {
        known.check_password(&account, "secret").await.unwrap();
    }
    let exchanges = service.exchanges();
    let all: Vec<_> = exchanges
        .iter()
        .map(|it: &Exchange| it.json.clone())
        .collect();
    // Rosters of ten thousand say nothing that small ones do not.
    let small = |it: &&serde_json::Value| it.to_string().len() < 100_000;
    let all: Vec<_> = all.iter().filter(small).cloned().collect();
    let (good, said) = validated(&all);
    assert!(good, "{said}");
    assert!(said.starts_with("26 operations"), "{said}");

    // And the validator is not content with anything.
    type Spoil = fn(&mut serde_json::Value);
    let spoils: [(&str, u16, Spoil); 6] = [
        ("GET", 200, |it| it["answer"] = serde_json::json!({})),
        ("GET", 404, |it| it["answer"]["error"] = "gone".into()),
        ("PUT", 200, |it| {
            drop(
                it["headers"]
                    .as_object_mut()
                    .unwrap()
                    .remove("idempotency-key"),
            )
        }),
        ("PUT", 200, |it| it["answer"]["version"] = "1".into()),
        ("POST", 200, |it| it["body"] = "{}".into()),
        ("POST", 409, |it| {
            it["answer"] = serde_json::json!({"error": "other"})
        }),
    ];
    for (method, status, spoil) in spoils {
        let is_meant = |it: &&serde_json::Value| it["method"] == method && it["status"] == status;
        let mut spoiled = all.iter().find(is_meant).expect("one of each").clone();
        spoil(&mut spoiled);
        let (good, said) = validated(&[spoiled]);
        assert!(
            !good && !said.contains("never asked"),
            "{method} {status}: {said}"
        );
    }
}
