//! What is trouble, and that text and page tell all of it and nothing but text.

use xmpp::Element;

use super::{
    page::Page,
    samples::{facts, three},
    text::Text,
    words::{LinkWords, Span, handed_over},
    *,
};
use crate::membership::status::{DialStatus, Leaving, LinkStatus, Step};

/// A name as an attacker would give it to a node.
const HOSTILE: &str = "<script>\"'&\u{1b}[2J]]>";

/// Facts in which everything is said that can be, by nodes that mean no good.
fn hostile() -> Facts {
    let mut cluster = three();
    for text in [
        &mut cluster.cluster,
        &mut cluster.name,
        &mut cluster.directory.kind,
        &mut cluster.directory.role,
    ] {
        *text = HOSTILE.into();
    }
    for member in &mut cluster.members {
        let texts = [
            &mut member.name,
            &mut member.address,
            &mut member.zone,
            &mut member.version,
        ];
        texts.into_iter().for_each(|text| *text = HOSTILE.into());
    }
    cluster.members[2].state = HOSTILE.into();
    cluster.directory.lag = 3;
    cluster.links[0].state = HOSTILE.into();
    cluster.links.push(LinkStatus {
        node: HOSTILE.into(),
        name: HOSTILE.into(),
        address: HOSTILE.into(),
        ..cluster.links[1].clone()
    });
    cluster.dialled.push(DialStatus {
        address: HOSTILE.into(),
        node: None,
        trouble: Some(HOSTILE.into()),
    });
    cluster.leaving = Some(Leaving {
        step: Step::HandingOver,
        accounts: 40,
        left: 10,
        elapsed_ms: 12_345,
        given_up: 0,
    });
    Facts {
        domains: vec![HOSTILE.into()],
        not_ready: vec![HOSTILE.into()],
        store_trouble: Some(format!("{HOSTILE} disk")),
        version: HOSTILE.into(),
        ..facts(Some(cluster))
    }
}

#[test]
fn trouble_is_told_and_nothing_else_is() {
    let check = |change: &dyn Fn(&mut Facts, &mut Status), expected: &[&str]| {
        let (mut facts, mut cluster) = (facts(None), three());
        change(&mut facts, &mut cluster);
        facts.cluster = Some(cluster);
        let found = facts.troubles();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    };
    assert_eq!(facts(None).troubles(), [""; 0]);
    check(&|_, _| {}, &[]);
    check(
        &|facts, _| facts.not_ready = vec!["starting".into()],
        &["starting"],
    );
    check(
        &|facts, _| facts.store_trouble = Some("full".into()),
        &["full"],
    );
    // What is not ready because of its store is told once.
    let both = |facts: &mut Facts, _: &mut Status| {
        facts.not_ready = vec!["full".into()];
        facts.store_trouble = Some("full".into());
    };
    check(&both, &["full"]);
    for (phase, expected) in [
        (Phase::Joining, "joins"),
        (Phase::Fenced, "no contact"),
        (Phase::Leaving, "leaves"),
        (Phase::Fallen, "given"),
    ] {
        check(&|_, cluster| cluster.phase = phase, &[expected]);
    }
    check(
        &|_, cluster| cluster.directory.fenced = true,
        &["no contact"],
    );
    check(
        &|_, cluster| cluster.links[0].state = "silent".into(),
        &["b is not up: silent"],
    );
    check(
        &|_, cluster| cluster.links.clear(),
        &["b is not up: none", "c is not up: none"],
    );
    // What keeps the node from being ready is told once, too.
    let joining = |facts: &mut Facts, cluster: &mut Status| {
        facts.not_ready = vec!["member of the cluster: joining".into()];
        cluster.phase = Phase::Joining;
    };
    check(&joining, &["cluster: joining"]);
    // Who is no member may come and go.
    let stranger = |_: &mut Facts, cluster: &mut Status| {
        let mut link = cluster.links[0].clone();
        (link.node, link.state) = ("9".into(), "gone".into());
        cluster.links.push(link);
        cluster.members[1].state = "draining".into();
    };
    check(&stranger, &[]);
}

#[test]
fn shares_are_those_of_members_that_serve() {
    let check = |change: &dyn Fn(&mut Status), expected: [f64; 3]| {
        let mut cluster = three();
        change(&mut cluster);
        let shares = cluster.members.iter().map(|member| share(&cluster, member));
        assert_eq!(shares.collect::<Vec<_>>(), expected);
    };
    check(&|_| {}, [25.0, 25.0, 50.0]);
    check(
        &|cluster| cluster.members[2].state = "draining".into(),
        [50.0, 50.0, 0.0],
    );
    let nobody = |cluster: &mut Status| {
        cluster
            .members
            .iter_mut()
            .for_each(|member| member.state = "up".into());
    };
    check(&nobody, [0.0; 3]);
}

#[test]
fn numbers_read_well() {
    for (seconds, expected) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (273_723, "3 d 4 h"),
    ] {
        assert_eq!(Span(seconds).to_string(), expected);
    }
    let mut link = three().links.remove(0);
    let mut check = |latency_us, queued_frames, expected: &str| {
        (link.latency_us, link.queued_frames) = (latency_us, queued_frames);
        assert_eq!(LinkWords(&link).to_string(), expected);
    };
    check(None, 0, "up");
    check(Some(999), 0, "up 0.9 ms");
    check(Some(12_050), 7, "up 12.0 ms, 7 waiting");
    for (step, accounts, left, expected) in [
        (Step::Told, 0, 0, 0),
        (Step::HandingOver, 4, 1, 75),
        (Step::HandingOver, 4, 9, 0),
        (Step::Closing, 4, 0, 100),
        (Step::Gone, 0, 0, 100),
    ] {
        let leaving = Leaving {
            step,
            accounts,
            left,
            elapsed_ms: 0,
            given_up: 0,
        };
        assert_eq!(handed_over(leaving), expected);
    }
}

#[test]
fn the_text_is_a_table() {
    let text = Text(&facts(Some(three()))).to_string();
    let expected = "\
cluster blue: 3 members, epoch 12, generation 3
directory raft: b leads, the role of this node: voter

   MEMBER  STATE  SHARE  ADDRESS        ZONE           LINK       NODE
*  a       ready  25 %   10.0.0.1:7269  eu-central-1a  -          00000123456789ab
+  b       ready  25 %   10.0.0.2:7269  eu-central-1b  up 0.4 ms  000002468acf1356
   c       ready  50 %   10.0.0.3:7269  eu-central-1c  up 0.4 ms  00000369d0369d01

this node, a, is serving: starling 0.1.0, up 3 d 4 h
  serves    example.org, example.net
  sessions  41 of 40 accounts, 2 wait to be resumed
  homes     12
  pipes     5
  store     takes writes
  secret    announced
";
    assert_eq!(text, expected);
    // An epoch is counted within its generation; nodes of one machine have one name.
    let mut cluster = three();
    cluster.epoch += 3 << 32;
    cluster.members[2].name = "b".into();
    let leader = cluster.members[1].node.clone();
    let text = Text(&facts(Some(cluster))).to_string();
    let head = format!("epoch 12, generation 3\ndirectory raft: {leader} leads");
    assert!(text.contains(&head), "{text}");
    let alone = Text(&facts(None)).to_string();
    assert!(alone.starts_with("alone: no cluster is configured\nthis node: starling 0.1.0"));
}

#[test]
fn a_terminal_is_told_nothing_but_text() {
    let text = Text(&hostile()).to_string();
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    for part in [
        "not a member",
        "dialled",
        "3 entries behind",
        "10 of 40 accounts left",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

/// The page as a parser of XML reads it.
fn parsed(facts: &Facts) -> Element {
    let page = Page(facts).to_string();
    let (doctype, rest) = page.split_once('\n').unwrap();
    assert_eq!(doctype, "<!DOCTYPE html>");
    Element::parse(rest.as_bytes(), "html").unwrap_or_else(|error| panic!("{error}\n{page}"))
}

fn all<'a>(element: &'a Element, into: &mut Vec<&'a Element>) {
    into.push(element);
    element.children().for_each(|child| all(child, into));
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_from_elsewhere() {
    for facts in [facts(None), facts(Some(three())), hostile()] {
        let page = parsed(&facts);
        let mut elements = Vec::new();
        all(&page, &mut elements);
        for element in &elements {
            assert_ne!(element.name(), "script");
            assert_ne!(element.name(), "link");
            for (name, value) in element.attrs() {
                assert!(
                    !name.starts_with("on") && name != "src" && name != "style",
                    "{name}"
                );
                assert!(name != "href" || value.starts_with('/'), "{value}");
            }
        }
        let has = |name, attr, value: &str| {
            let mut elements = elements.iter().filter(|it| it.name() == name);
            elements.any(|it| it.attr(attr) == Some(value))
        };
        assert!(has("meta", "http-equiv", "refresh"));
        assert!(has("meta", "name", "viewport"));
        let ids: Vec<_> = elements.iter().filter(|it| it.name() == "h3").collect();
        let members = facts.cluster.as_ref().map_or(0, |it| it.members.len());
        assert_eq!(ids.len(), members);
        let ill = elements
            .iter()
            .any(|it| it.attr("class") == Some("troubles"));
        assert_eq!(ill, !facts.troubles().is_empty());
    }
    assert!(!Page(&facts(None)).to_string().contains("http://"));
}

#[test]
fn the_page_shows_progress_and_every_share() {
    let page = parsed(&hostile());
    let mut elements = Vec::new();
    all(&page, &mut elements);
    let bar = elements.iter().find(|it| it.name() == "progress").unwrap();
    assert_eq!(
        (bar.attr("value"), bar.attr("max")),
        (Some("75"), Some("100"))
    );
    let page = parsed(&facts(Some(three())));
    let mut elements = Vec::new();
    all(&page, &mut elements);
    let arcs: Vec<_> = elements
        .iter()
        .filter_map(|it| Some((it.attr("stroke-dasharray")?, it.attr("stroke-dashoffset")?)))
        .collect();
    let expected = [
        ("25.00 75.00", "25.00"),
        ("25.00 75.00", "0.00"),
        ("50.00 50.00", "-25.00"),
    ];
    assert_eq!(arcs, expected);
}

#[test]
fn json_comes_back() {
    for facts in [facts(None), facts(Some(three())), hostile()] {
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
    }
}
