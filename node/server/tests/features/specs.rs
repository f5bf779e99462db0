//! The table of what is implemented.

use std::{fs, path::Path};

use starling::specs::specs;

use crate::Node;

/// `UPDATE_DOCS=1` writes the table instead of comparing it.
#[tokio::test]
async fn table_in_the_documentation_is_up_to_date() {
    let node = Node::start().await;
    let table = specs(node.app.router.registry());
    for line in table.lines().filter(|line| line.contains("XEP-")) {
        assert!(
            !line.contains("|  |"),
            "specs::TITLES lacks the title of {line}"
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/xeps.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written, table,
        "docs/xeps.md is out of date: run this test with UPDATE_DOCS=1"
    );
}
