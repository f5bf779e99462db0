//! Text that anybody has written, as HTML: escaped, with links to the web.

use std::fmt::{self, Display, Formatter};

/// Nothing is said for what is linked, and it is told nothing.
const REL: &str = "nofollow ugc noopener noreferrer";

/// Text as HTML, in elements and in attributes.
pub(super) struct Html<'a>(pub(super) &'a str);

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
pub(super) struct Linked<'a>(pub(super) &'a str);

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
