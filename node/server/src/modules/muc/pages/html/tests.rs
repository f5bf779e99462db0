//! Pages as they are written.

use super::{super::line::tests::entry, *};

fn about() -> About {
    About {
        published: true,
        listed: true,
        room: BareJid::parse("cave@rooms.example").unwrap(),
        created_ms: 1,
        name: "A <Dark> Cave".into(),
        description: "Stones & \"bones\"".into(),
        lang: "en".into(),
    }
}

#[test]
fn all_is_escaped() {
    let evil =
        "<body>&lt;script&gt;alert(1)&lt;/script&gt; \" ' &amp; https://a.example/&lt;b&gt;</body>";
    let lines = [
        Line::of(&entry(1, "<img src=x onerror=alert(1)>", evil)).unwrap(),
        Line::of(&entry(
            2,
            "\"'><svg onload=x>",
            "<subject>&lt;/style&gt;</subject>",
        ))
        .unwrap(),
    ];
    let ways = Ways::default();
    let html = day(&about(), Date::of(lines[0].time_ms), &lines, &ways);
    for wrong in [
        "<script",
        "<img",
        "<svg",
        "</style>&",
        "<Dark>",
        "onerror=alert(1)>",
    ] {
        assert!(!html.contains(wrong), "{wrong}: {html}");
    }
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &quot; &#39; &amp; "));
}

/// Every element of a page that nobody could have written into it.
fn elements(html: &str) -> Vec<xmpp::Element> {
    let xml = html.strip_prefix("<!DOCTYPE html>\n").unwrap().trim_end();
    let mut all = vec![xmpp::Element::parse(xml.as_bytes(), "").unwrap()];
    let mut at = 0;
    while at < all.len() {
        let children: Vec<_> = all[at].children().cloned().collect();
        all.extend(children);
        at += 1;
    }
    all
}

/// `STARLING_PAGES=directory` writes the pages there, to be looked at.
fn shown(name: &str, html: &str) {
    if let Ok(directory) = std::env::var("STARLING_PAGES") {
        std::fs::write(format!("{directory}/{name}.html"), html).unwrap();
    }
}

#[test]
fn a_page_has_the_elements_that_it_is_meant_to_have() {
    let said = [
        (
            "Alice",
            "<body>Good morning! Has anyone looked at the build?</body>",
        ),
        (
            "Alice",
            "<body>I think it is the linker again: https://example.org/builds/2931?full=1&amp;x=2.</body>",
        ),
        (
            "Bob Builder",
            "<body>Yes, on it.\nTwo lines\n  and an indented one</body>",
        ),
        ("Bob Builder", "<body>/me makes coffee</body>"),
        (
            "Eve <b>",
            "<body>&lt;img src=x onerror=alert(1)&gt; &amp;amp; ]]&gt; https://example.org/'&quot;&lt;b&gt;</body>",
        ),
        (
            "Eve <b>",
            "<body>xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx</body>",
        ),
        ("Łukasz", "<subject>Release on Friday</subject>"),
        (
            "Łukasz",
            "<body>secret</body><encrypted xmlns='eu.siacs.conversations.axolotl'/>",
        ),
        ("Alice", "<body>שלום, this is right to left</body>"),
        ("Bob Builder", "<body>That should do ti</body>"),
        (
            "Bob Builder",
            "<body>That should do it</body><replace xmlns='urn:xmpp:message-correct:0' id='i10'/>",
        ),
    ];
    let said = said.iter().zip(1..);
    let entries = said.map(|((nick, inner), number)| entry(number, nick, inner));
    let lines: Vec<Line> = entries.filter_map(|it| Line::of(&it)).collect();
    let lines = super::super::line::corrected(lines);
    let way = |path: &str, name: &str| Some((path.to_owned(), name.to_owned()));
    let ways = Ways {
        before: way("22.html", "22 Nov"),
        behind: way("24.html", "24 Nov"),
        data: "23.jsonl".into(),
    };
    let html = day(&about(), Date::of(lines[0].time_ms), &lines, &ways);
    shown("day", &html);
    let all = elements(&html);
    assert_eq!(all.iter().filter(|it| it.name() == "li").count(), 10);
    let known = [
        "html", "head", "meta", "title", "style", "body", "header", "h1", "p", "nav", "span",
        "main", "ol", "li", "a", "time", "bdi", "div", "footer",
    ];
    for element in &all {
        assert!(known.contains(&element.name()), "{}", element.name());
        if let Some(href) = element.attr("href") {
            let own = href.starts_with('#') || !href.contains(':');
            let begins = ["https://example.org/", "xmpp:cave@"];
            assert!(
                own || begins.iter().any(|it| href.starts_with(it)),
                "{href}"
            );
        }
    }
    let mut days = MonthState::default();
    for (number, messages) in [(2, 9), (3, 120), (23, 10)] {
        let part = storage::repository::PartState {
            messages,
            ..Default::default()
        };
        days.days.entry(number).or_default().parts.push(part);
    }
    let first = Date::first_of("2026-11").unwrap();
    shown("month", &month(&about(), first, &days, &ways));
    let state = PagesState {
        months: ["2025-12", "2026-10", "2026-11"].map(str::to_owned).into(),
        ..PagesState::default()
    };
    shown("room", &room(&about(), &state));
    let rooms = ["cave", "höhle"];
    let rooms = rooms.map(|it| BareJid::from_parts(Some(it), "rooms.example").unwrap());
    shown("service", &service("rooms.example", &rooms));
    for html in [
        month(&about(), first, &days, &ways),
        room(&about(), &state),
        service("rooms.example", &rooms),
    ] {
        elements(&html);
    }
}

#[test]
fn a_month_has_its_days_where_they_belong() {
    let first = Date::first_of("2026-11").unwrap();
    let mut state = MonthState::default();
    let day = state.days.entry(23).or_default();
    day.parts.push(storage::repository::PartState {
        first: 1,
        last: 9,
        messages: 7,
    });
    let html = month(&about(), first, &state, &Ways::default());
    assert!(
        html.contains("<a href=\"23.html\">23<small>7</small></a>"),
        "{html}"
    );
    assert_eq!(html.matches("<td").count() % 7, 0);
    // It began with a Sunday.
    assert!(
        html.contains(&format!("<tr>{}<td><span>1<", "<td></td>".repeat(6))),
        "{html}"
    );
}

#[test]
fn colours_are_those_of_xep_0392() {
    // §13.2, test vectors: Romeo 327.255249, juliet@capulet.lit 209.410400, 😺 331.199341, council 359.994507.
    for (nick, expected) in [
        ("Romeo", 327),
        ("juliet@capulet.lit", 209),
        ("😺", 331),
        ("council", 359),
    ] {
        assert_eq!(hue(nick), expected, "{nick}");
    }
}
