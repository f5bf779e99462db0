//! From version to version.

use storage::shape::{Batch, Condition, Consistency, Key, Space, Table};

use super::*;
use crate::{DatabaseUrl, Sql, SqlOptions};

/// A next version of which a step may fail.
fn next(version: i64, dialect: Dialect, names: &Names, fails: bool) -> Vec<Step> {
    if version == 1 {
        return steps(version, dialect, names);
    }
    let step = |what: &str, sql: String| Step {
        what: what.to_owned(),
        sql,
    };
    let column = format!(
        "ALTER TABLE {} ADD COLUMN more INTEGER",
        names.of(Space::Core)
    );
    let broken = if fails { "ALTER NONSENSE" } else { "SELECT 1" };
    vec![step("a column", column), step("the rest", broken.into())]
}

#[tokio::test]
async fn versions_follow_each_other_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("file").display());
    let sql = Sql::open(SqlOptions::new(DatabaseUrl::new(url))).unwrap();
    sql.init().await.unwrap();
    let key = Key {
        space: Space::Core,
        partition: "p".into(),
        sort: "s".into(),
    };
    let put = Batch::new().put(key.clone(), "x", Condition::Absent);
    sql.table().write(put).await.unwrap();

    let names = &sql.inner.names;
    let to_two = async |fails: bool| {
        let mut lease = sql.inner.writers.lease().await.unwrap();
        let mut report = Vec::new();
        let steps = |version, dialect, names: &Names| next(version, dialect, names, fails);
        let result = init_with(&mut lease, names, 2, steps, &mut report).await;
        lease.close();
        result.map(|()| report)
    };
    to_two(true).await.unwrap_err();
    sql.check().await.expect("still version 1");
    let expected = [
        "version 2: a column",
        "version 2: the rest",
        "the tables starling_* have version 2",
    ];
    assert_eq!(to_two(false).await.unwrap(), expected);
    assert_eq!(to_two(false).await.unwrap(), expected[2..]);

    // A program that knows version 1 only leaves them alone.
    for refused in [sql.check().await, sql.init().await] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("too old"), "{error}");
    }
    let found = sql.table().get(&key, Consistency::Strong).await.unwrap();
    assert_eq!(found.unwrap().value, "x");
}
