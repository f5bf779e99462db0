//! The key `cluster.ec2`: a list of tags, or a section that says more.

use super::{
    super::{
        Aws,
        meaning::path,
        raw::Node,
        reader::{Section, Wrong, boolean, text},
        storage::{endpoint, filled},
    },
    Ec2,
};

/// Reads it: the tags by which other nodes are found, where they are named, and the rest.
pub(super) fn ec2(section: &mut Section<'_>) -> (Option<Vec<(String, String)>>, Ec2) {
    let mut found = Ec2::default();
    if !section.is_table("ec2") {
        let tags = section.list("ec2", tag);
        found.notices = tags.is_some();
        return (tags, found);
    }
    let mut inner = section.section("ec2");
    let tags = inner.list("tags", tag);
    found.notices = tags.is_some();
    inner.read("notices", &mut found.notices, boolean);
    let Aws {
        region,
        profile,
        credentials,
        endpoint: api,
    } = &mut found.access;
    inner.read("region", region, filled);
    inner.read("profile", profile, filled);
    inner.read("credentials", credentials, |node| path(node).map(Some));
    inner.read("endpoint", api, endpoint);
    inner.read("autoscaling_endpoint", &mut found.autoscaling, endpoint);
    inner.finish();
    (tags, found)
}

fn tag(node: &Node) -> Result<(String, String), Wrong> {
    let written = text(node)?;
    match written.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(Wrong::new(
            format!("\"{written}\" is no tag with a value"),
            "write one such as \"starling-cluster=production\"",
        )),
    }
}
