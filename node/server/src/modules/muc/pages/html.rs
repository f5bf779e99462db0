//! Pages as HTML: of a day, of a month, of a room, of a service. Nothing from elsewhere, no scripts; readable on a phone, in
//! the dark, on paper. All that anybody has said is escaped, and links lead to the web alone. A page is well-formed XML behind
//! its first line.
//!
//! Colours of nicks: XEP-0392 §5.1, the same everywhere.

use std::{
    collections::BTreeSet,
    fmt::{self, Display, Formatter, Write as _},
};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use storage::repository::{MonthState, PagesState, pages::place};
use xmpp::BareJid;

use super::{
    About,
    date::Date,
    line::{Line, Says},
};

const STYLE: &str = include_str!("page.css");
/// What a browser may do with a page: nothing but show it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const REL: &str = "nofollow ugc noopener noreferrer";

/// Text as HTML, in elements and in attributes.
struct Html<'a>(&'a str);

impl Display for Html<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let (text, last) = match part.char_indices().next_back() {
                Some((end, last @ ('&' | '<' | '>' | '"' | '\''))) => (&part[..end], Some(last)),
                _ => (part, None),
            };
            f.write_str(text)?;
            f.write_str(match last {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                Some('\'') => "&#39;",
                _ => "",
            })?;
        }
        Ok(())
    }
}

/// Text with its links.
struct Linked<'a>(&'a str);

impl Display for Linked<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = next_link(rest) {
            let (before, from) = rest.split_at(at);
            let link = &from[..link_length(from)];
            write!(f, "{}", Html(before))?;
            let (href, text) = (Html(link), Html(link));
            write!(f, "<a href=\"{href}\" rel=\"{REL}\">{text}</a>")?;
            rest = &from[link.len()..];
        }
        write!(f, "{}", Html(rest))
    }
}

/// Where the next link begins that has more than a scheme; not in the middle of a word.
fn next_link(text: &str) -> Option<usize> {
    let begins = ["http://", "https://"];
    let found = text.match_indices("http").find(|(at, _)| {
        let before = text[..*at].chars().next_back();
        let is_word = before.is_some_and(char::is_alphanumeric);
        let scheme = begins.iter().find(|it| text[*at..].starts_with(**it));
        !is_word && scheme.is_some_and(|it| link_length(&text[*at..]) > it.len())
    });
    found.map(|(at, _)| at)
}

/// As far as it goes, without what ends a sentence.
fn link_length(text: &str) -> usize {
    let is_end = |it: char| it.is_whitespace() || it.is_control() || "<>\"`".contains(it);
    let mut link = &text[..text.find(is_end).unwrap_or(text.len())];
    while let Some(last) = link.chars().next_back() {
        let closes = |open: char| link.matches(open).count() < link.matches(last).count();
        let is_over = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' => true,
            ')' => closes('('),
            ']' => closes('['),
            '}' => closes('{'),
            _ => false,
        };
        if !is_over {
            break;
        }
        link = &link[..link.len() - last.len_utf8()];
    }
    link.len()
}

/// The angle of a nick's colour.
fn hue(nick: &str) -> u32 {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, nick.as_bytes());
    let number = u32::from(u16::from_le_bytes([hash.as_ref()[0], hash.as_ref()[1]]));
    number * 360 / 65_536
}

/// What stands around every page.
fn document(title: &str, lang: &str, style: &str, body: &str) -> String {
    let lang = match lang {
        "" => String::new(),
        lang => format!(" lang=\"{}\"", Html(lang)),
    };
    let title = Html(title);
    format!(
        "<!DOCTYPE html>\n<html{lang}><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/>\
         <meta name=\"referrer\" content=\"no-referrer\"/>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\
         <title>{title}</title><style>{STYLE}{style}</style></head><body>\n{body}</body></html>\n"
    )
}

fn header(about: &About, subtitle: &dyn Display) -> String {
    let mut out = format!(
        "<header><h1><bdi>{}</bdi></h1><p>{subtitle} · <a href=\"xmpp:{}?join\">{}</a></p>",
        Html(about.title()),
        Html(&uri(&about.room)),
        Html(about.room.as_str()),
    );
    if !about.description.is_empty() {
        let _ = write!(
            out,
            "<p class=\"about\" dir=\"auto\">{}</p>",
            Html(&about.description)
        );
    }
    out.push_str("</header>\n");
    out
}

/// RFC 5122: an address in a URI.
fn uri(room: &BareJid) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    let bytes = room.as_str().bytes();
    bytes
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// Where one gets to from a page.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    /// The page before and the page behind, and what they are called.
    pub(super) before: Option<(String, String)>,
    pub(super) behind: Option<(String, String)>,
    /// The same lines as data.
    pub(super) data: String,
}

impl Ways {
    fn nav(&self, up: &str, name: &str) -> String {
        let link = |way: &Option<(String, String)>, left: &str, right: &str| match way {
            Some((path, name)) => {
                format!("<a href=\"{}\">{left}{}{right}</a>", Html(path), Html(name))
            }
            None => String::new(),
        };
        let before = link(&self.before, "← ", "");
        let behind = link(&self.behind, "", " →");
        let up = format!("<a href=\"{up}\">{}</a>", Html(name));
        format!("<nav><span>{before}</span><span>{up}</span><span>{behind}</span></nav>\n")
    }
}

/// The page of a day, or of a part of one.
pub(super) fn day(about: &About, date: Date, lines: &[Line], ways: &Ways) -> String {
    let hues: BTreeSet<u32> = lines.iter().map(|line| hue(&line.nick)).collect();
    let mut style = String::new();
    for hue in hues {
        let _ = write!(style, ".h{hue}{{--h:{hue}}}");
    }
    let nav = ways.nav("index.html", &date.month_name());
    let mut body = header(about, &date);
    body.push_str(&nav);
    body.push_str("<main>");
    if lines.is_empty() {
        body.push_str("<p class=\"log none\">Nothing is left of what was said.</p>");
    } else {
        body.push_str("<ol class=\"log\">\n");
        let mut former: Option<&Line> = None;
        for line in lines {
            write_line(&mut body, line, former);
            former = Some(line);
        }
        body.push_str("</ol>");
    }
    let _ = write!(
        body,
        "</main>\n{nav}<footer><p>Times are UTC. The same as <a href=\"{}\">JSON lines</a>.</p></footer>",
        Html(&ways.data)
    );
    let title = format!("{} · {date}", about.title());
    document(&title, &about.lang, &style, &body)
}

/// Minutes within which one who goes on is not named again.
const GOES_ON_MS: u64 = 10 * 60_000;

fn write_line(body: &mut String, line: &Line, former: Option<&Line>) {
    let goes_on = former.is_some_and(|former| {
        former.nick == line.nick && line.time_ms.saturating_sub(former.time_ms) < GOES_ON_MS
    });
    let kind = match line.says {
        Says::Message(_) => "",
        Says::Action(_) => " action",
        Says::Subject(_) => " subject",
        Says::Encrypted => " encrypted",
    };
    let same = if goes_on { "same" } else { "new" };
    let clock = line.time.get(11..16).unwrap_or_default();
    let _ = write!(
        body,
        "<li id=\"m{number}\" class=\"{same}{kind}\"><a class=\"at\" href=\"#m{number}\">\
         <time datetime=\"{time}\">{clock}</time></a>\
         <bdi class=\"nick h{hue}\">{nick}</bdi><div class=\"text\" dir=\"auto\">",
        number = line.number,
        time = Html(&line.time),
        hue = hue(&line.nick),
        nick = Html(&line.nick),
    );
    let _ = match &line.says {
        Says::Message(text) => write!(body, "{}", Linked(text)),
        Says::Action(text) => write!(body, "{} {}", Html(&line.nick), Linked(text)),
        Says::Subject(text) if text.is_empty() => write!(body, "removed the subject"),
        Says::Subject(text) => write!(body, "changed the subject to: {}", Linked(text)),
        Says::Encrypted => write!(body, "an encrypted message"),
    };
    if line.edited {
        body.push_str(" <span class=\"edited\">(edited)</span>");
    }
    body.push_str("</div></li>\n");
}

/// The page of a month: its days.
pub(super) fn month(about: &About, first: Date, month: &MonthState, ways: &Ways) -> String {
    let mut body = header(about, &first.month_name());
    body.push_str(&ways.nav("../index.html", "All months"));
    body.push_str("<main><section><table><thead><tr>");
    for weekday in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] {
        let _ = write!(body, "<th scope=\"col\">{weekday}</th>");
    }
    body.push_str("</tr></thead><tbody><tr>");
    body.push_str(&"<td></td>".repeat(first.weekday()));
    for day in 1..=first.days() {
        if day > 1 && first.with_day(day).weekday() == 0 {
            body.push_str("</tr><tr>");
        }
        let parts = month.days.get(&day).map_or(&[][..], |it| &it.parts);
        let messages: u32 = parts.iter().map(|part| part.messages).sum();
        let _ = match messages {
            0 => write!(body, "<td><span>{day}</span></td>"),
            _ => write!(
                body,
                "<td><a href=\"{day:02}.html\">{day}<small>{messages}</small></a></td>"
            ),
        };
    }
    let left = (7 - (first.weekday() + usize::from(first.days())) % 7) % 7;
    body.push_str(&"<td></td>".repeat(left));
    body.push_str("</tr></tbody></table></section></main>\n");
    let title = format!("{} · {}", about.title(), first.month_name());
    document(&title, &about.lang, "", &body)
}

/// The page of a room: its months.
pub(super) fn room(about: &About, state: &PagesState) -> String {
    let mut body = header(about, &"What was said here");
    body.push_str("<main>");
    let mut year = None;
    for month in state.months.iter().rev() {
        let Some(first) = Date::first_of(month) else {
            continue;
        };
        if year != Some(first.year) {
            if year.is_some() {
                body.push_str("</ul></section>");
            }
            let _ = write!(
                body,
                "<section><h2>{}</h2><ul class=\"months\">",
                first.year
            );
            year = Some(first.year);
        }
        let name = first.month_name();
        let _ = write!(body, "<li><a href=\"{month}/index.html\">{name}</a></li>");
    }
    body.push_str(match year {
        Some(_) => "</ul></section></main>\n",
        None => "<p>Nothing yet.</p></main>\n",
    });
    body.push_str("<nav><span></span><span><a href=\"../index.html\">All rooms</a></span><span></span></nav>\n");
    document(about.title(), &about.lang, "", &body)
}

/// The page of a service: its rooms.
pub(super) fn service(service: &str, rooms: &[BareJid]) -> String {
    let mut body = format!(
        "<header><h1>Rooms of {}</h1><p>Those that publish what is said in them</p></header>\n\
         <main><section><ul class=\"months\">",
        Html(service)
    );
    for room in rooms {
        let path = place(room);
        let path = path.split_once('/').map_or("", |(_, path)| path);
        let name = room.local().unwrap_or_default();
        let _ = write!(
            body,
            "<li><a href=\"{}/index.html\"><bdi>{}</bdi></a></li>",
            Html(path),
            Html(name)
        );
    }
    body.push_str("</ul></section></main>\n");
    document(&format!("Rooms of {service}"), "", "", &body)
}

#[cfg(test)]
mod tests {
    use super::{super::line::tests::entry, *};

    pub(super) fn about() -> About {
        About {
            room: BareJid::parse("cave@rooms.example").unwrap(),
            created_ms: 1,
            name: "A <Dark> Cave".into(),
            description: "Stones & \"bones\"".into(),
            lang: "en".into(),
        }
    }

    #[test]
    fn links_lead_to_the_web_and_to_nothing_else() {
        let check = |text: &str, links: &[&str]| {
            let html = Linked(text).to_string();
            let found: Vec<&str> = html
                .split("<a href=\"")
                .skip(1)
                .map(|it| it.split('"').next().unwrap())
                .collect();
            assert_eq!(found, links, "{html}");
            // What is shown is what was said.
            let mut plain = String::new();
            let mut inside = false;
            for it in html.chars() {
                match it {
                    '<' => inside = true,
                    '>' => inside = false,
                    it if !inside => plain.push(it),
                    _ => {}
                }
            }
            assert_eq!(plain, Html(text).to_string());
        };
        check(
            "see https://a.example/x?y=1&z=2.",
            &["https://a.example/x?y=1&amp;z=2"],
        );
        check("(http://a.example/b_(c))", &["http://a.example/b_(c)"]);
        check(
            "http://a.example, https://b.example!",
            &["http://a.example", "https://b.example"],
        );
        check(
            "https://a.example/\"onmouseover='x'",
            &["https://a.example/"],
        );
        check("https://a.example/'><script>", &["https://a.example/"]);
        check("https://a.example/'x", &["https://a.example/&#39;x"]);
        check(
            "javascript:alert(1) data:text/html,x ftp://a xhttp://a",
            &[],
        );
        check("https:// http://. nothttps://a", &[]);
        check(
            "https://ä.example/ü 🎈https://b.example",
            &["https://ä.example/ü", "https://b.example"],
        );
    }

    #[test]
    fn all_is_escaped() {
        let evil = "<body>&lt;script&gt;alert(1)&lt;/script&gt; \" ' &amp; https://a.example/&lt;b&gt;</body>";
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
}
