//! Pages as HTML: of a day, of a month, of a room, of a service. Nothing from elsewhere, no scripts; readable on a phone, in
//! the dark, on paper. All that anybody has said is escaped, and links lead to the web alone. A page is well-formed XML behind
//! its first line.
//!
//! Colours of nicks: XEP-0392 §5.1, the same everywhere.

mod text;

use std::{
    collections::BTreeSet,
    fmt::{Display, Write as _},
};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use storage::repository::{MonthState, PagesState, pages::place};
use xmpp::BareJid;

use self::text::{Html, Linked};
use super::{
    About,
    date::Date,
    line::{Line, Says},
};

const STYLE: &str = include_str!("page.css");
/// What a browser may do with a page: nothing but show it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

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
mod tests;
