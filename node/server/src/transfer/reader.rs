//! Reader: an export as a sequence of steps, over any number of included files, holding one element at a time.
//!
//! XInclude: children of `<server-data/>`, `<host/>` and `<user/>` with a relative `href` are read in place; what lies
//! deeper is data of users and stays as it is (XEP-0227 §5). A file may only include what lies beside or below it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Component, Path, PathBuf},
};

use quick_xml::{
    NsReader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
    name::ResolveResult,
};
use xmpp::{Element, ns};

use super::{PIE_MAM, XINCLUDE};

/// Files within files.
const MAX_DEPTH: usize = 8;
/// Elements within elements.
const MAX_NESTING: usize = 200;
/// Bytes of one child of a user, or of one message.
const MAX_ELEMENT: usize = 64 << 20;

/// Why an export cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is no XML.
    #[error("{} at byte {offset}: {source}", path.display())]
    Xml {
        /// Which.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        source: quick_xml::Error,
    },
    /// A file is XML, but not an export.
    #[error("{} at byte {offset}: {what}", path.display())]
    Shape {
        /// Which.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// A host begins, with its `jid`.
    Host(String),
    /// A user begins.
    User {
        name: String,
        password: Option<String>,
    },
    /// A child of the user.
    Child(Element),
    /// A result in its archive.
    Archived(Element),
    /// A message that waits for it.
    Waiting(Element),
    /// The user ends.
    UserEnd,
    /// Something that the XEP does not know, by name and namespace.
    Unknown(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Server,
    Host,
    User,
    Archive,
    Offline,
}

struct Source {
    path: PathBuf,
    reader: NsReader<Box<dyn BufRead + Send>>,
}

/// Reads steps.
pub(super) struct Reader {
    sources: Vec<Source>,
    levels: Vec<Level>,
    buffer: Vec<u8>,
    ended: bool,
    /// `<server-data/>` was seen.
    begun: bool,
}

/// What a start tag says.
struct Tag {
    element: Element,
    empty: bool,
}

enum Token {
    Tag(Tag),
    End,
    Text(String),
    Nothing,
    FileEnd,
}

impl Reader {
    /// Over a file, or standard input if the path is `-`.
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        let mut reader = Self {
            sources: Vec::new(),
            levels: Vec::new(),
            buffer: Vec::new(),
            ended: false,
            begun: false,
        };
        match path == Path::new("-") {
            true => reader.push(path.to_owned(), Box::new(BufReader::new(io::stdin()))),
            false => reader.push_file(path.to_owned())?,
        }
        Ok(reader)
    }

    fn push(&mut self, path: PathBuf, from: Box<dyn BufRead + Send>) {
        self.sources.push(Source {
            path,
            reader: NsReader::from_reader(from),
        });
    }

    fn push_file(&mut self, path: PathBuf) -> Result<(), ReadError> {
        match File::open(&path) {
            Ok(file) => self.push(path, Box::new(BufReader::with_capacity(64 << 10, file))),
            Err(source) => return Err(ReadError::File { path, source }),
        }
        Ok(())
    }

    fn wrong(&self, what: impl Into<String>) -> ReadError {
        let (path, offset) = self.sources.last().map_or((PathBuf::new(), 0), |source| {
            (source.path.clone(), source.reader.buffer_position())
        });
        ReadError::Shape {
            path,
            offset,
            what: what.into(),
        }
    }

    /// The next step; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Step>, ReadError> {
        if std::mem::take(&mut self.ended) {
            return Ok(Some(Step::UserEnd));
        }
        loop {
            let tag = match self.token()? {
                Token::FileEnd if self.sources.len() > 1 => {
                    self.sources.pop();
                    continue;
                }
                Token::FileEnd if !self.begun => {
                    return Err(self.wrong("this is no XEP-0227 export: the file is empty"));
                }
                Token::FileEnd if !self.levels.is_empty() => {
                    return Err(self.wrong("the file ends too early"));
                }
                Token::FileEnd => return Ok(None),
                Token::End => match self.levels.pop() {
                    Some(Level::User) => return Ok(Some(Step::UserEnd)),
                    _ => continue,
                },
                Token::Text(_) | Token::Nothing => continue,
                Token::Tag(tag) => tag,
            };
            if let Some(step) = self.step(tag)? {
                return Ok(Some(step));
            }
        }
    }

    fn step(&mut self, Tag { element, empty }: Tag) -> Result<Option<Step>, ReadError> {
        let level = self.levels.last().copied();
        let structural = matches!(level, Some(Level::Server | Level::Host | Level::User));
        if structural && element.is("include", XINCLUDE) {
            let href = element.attr("href").unwrap_or_default().to_owned();
            self.subtree(element, empty)?;
            self.include(&href)?;
            return Ok(None);
        }
        let (inner, step) = match (level, element.name(), element.ns()) {
            (None, "server-data", ns::PIE) => (Level::Server, None),
            (Some(Level::Server), "host", ns::PIE) => (
                Level::Host,
                Some(Step::Host(self.required(&element, "jid")?)),
            ),
            (Some(Level::Host), "user", ns::PIE) => {
                let name = self.required(&element, "name")?;
                let password = element.attr("password").map(str::to_owned);
                (Level::User, Some(Step::User { name, password }))
            }
            (Some(Level::User), "archive", PIE_MAM) => (Level::Archive, None),
            (Some(Level::User), "offline-messages", ns::PIE) => (Level::Offline, None),
            (Some(Level::User), ..) => return Ok(Some(Step::Child(self.subtree(element, empty)?))),
            (Some(Level::Archive), ..) => {
                return Ok(Some(Step::Archived(self.subtree(element, empty)?)));
            }
            (Some(Level::Offline), ..) => {
                return Ok(Some(Step::Waiting(self.subtree(element, empty)?)));
            }
            (None, name, space) => {
                return Err(self.wrong(format!(
                    "this is no XEP-0227 export: it begins with {name} of \"{space}\""
                )));
            }
            (_, name, space) => {
                let unknown = format!("{name} of {space}");
                self.subtree(element, empty)?;
                return Ok(Some(Step::Unknown(unknown)));
            }
        };
        self.begun = true;
        if !empty {
            self.levels.push(inner);
            return Ok(step);
        }
        // `<user/>` ends as `<user></user>` does.
        self.ended = inner == Level::User;
        Ok(step)
    }

    fn required(&self, element: &Element, attribute: &str) -> Result<String, ReadError> {
        match element.attr(attribute) {
            Some(value) => Ok(value.to_owned()),
            None => Err(self.wrong(format!("{} has no {attribute}", element.name()))),
        }
    }

    fn include(&mut self, href: &str) -> Result<(), ReadError> {
        if self.sources.len() >= MAX_DEPTH {
            return Err(self.wrong("files include each other too deeply"));
        }
        let Some(relative) = relative_path(href) else {
            return Err(self.wrong(format!(
                "\"{href}\" is not below this file and is not included"
            )));
        };
        let here = self
            .sources
            .last()
            .map(|source| source.path.clone())
            .unwrap_or_default();
        self.push_file(here.parent().unwrap_or(Path::new("")).join(relative))
    }

    /// The rest of an element whose start tag was read.
    fn subtree(&mut self, mut element: Element, empty: bool) -> Result<Element, ReadError> {
        if empty {
            return Ok(element);
        }
        let mut above: Vec<Element> = Vec::new();
        let mut size = 0;
        loop {
            match self.token()? {
                Token::Nothing => {}
                Token::FileEnd => return Err(self.wrong("the file ends too early")),
                Token::Text(text) => {
                    size += text.len();
                    element.push_text(text);
                }
                Token::Tag(tag) if tag.empty => {
                    size += weight(&tag.element);
                    element.push(tag.element);
                }
                Token::Tag(tag) => {
                    size += weight(&tag.element);
                    above.push(std::mem::replace(&mut element, tag.element));
                    if above.len() > MAX_NESTING {
                        return Err(self.wrong("elements nest too deeply"));
                    }
                }
                Token::End => match above.pop() {
                    None => return Ok(element),
                    Some(parent) => {
                        let child = std::mem::replace(&mut element, parent);
                        element.push(child);
                    }
                },
            }
            if size > MAX_ELEMENT {
                return Err(self.wrong(format!("an element has more than {MAX_ELEMENT} bytes")));
            }
        }
    }

    fn token(&mut self) -> Result<Token, ReadError> {
        let Some(source) = self.sources.last_mut() else {
            return Ok(Token::FileEnd);
        };
        self.buffer.clear();
        let offset = source.reader.buffer_position();
        let failed = |source: &Source, error| ReadError::Xml {
            path: source.path.clone(),
            offset,
            source: error,
        };
        let event = match source.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(error) => return Err(failed(source, error)),
        };
        let token = match event {
            Event::Start(start) => tag(&source.reader, &start, false).map(Token::Tag),
            Event::Empty(start) => tag(&source.reader, &start, true).map(Token::Tag),
            Event::End(_) => Ok(Token::End),
            Event::Text(text) => Ok(Token::Text(text.xml10_content().into_owned())),
            Event::CData(text) => Ok(Token::Text(text.xml10_content().into_owned())),
            Event::GeneralRef(name) => reference(&name).map(Token::Text),
            Event::Eof => Ok(Token::FileEnd),
            // A DTD cannot define anything that we would read: its entities stay unknown.
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                Ok(Token::Nothing)
            }
        };
        token.map_err(|error| failed(source, error))
    }
}

fn weight(element: &Element) -> usize {
    64 + element
        .attrs()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>()
}

fn reference(name: &quick_xml::events::BytesRef<'_>) -> Result<String, quick_xml::Error> {
    if let Some(character) = name.resolve_char_ref()? {
        return Ok(character.to_string());
    }
    let known = resolve_predefined_entity(name);
    let unknown = || quick_xml::escape::EscapeError::UnrecognizedEntity(0..0, name.to_string());
    Ok(known.ok_or_else(unknown)?.to_owned())
}

/// An element as [`Element`] keeps it: its namespace resolved, prefixed attributes with their declaration beside them.
fn tag<R>(
    reader: &NsReader<R>,
    start: &BytesStart<'_>,
    empty: bool,
) -> Result<Tag, quick_xml::Error> {
    let (resolved, local) = reader.resolver().resolve_element(start.name());
    let space = namespace(resolved);
    let mut element = Element::new(local.into_inner().to_owned(), space);
    for attribute in start.attributes() {
        let attribute = attribute?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)?
            .into_owned();
        let name = attribute.key.into_inner();
        match attribute.key.prefix().map(|prefix| prefix.into_inner()) {
            None | Some("xml") => {}
            Some(prefix) => {
                let (resolved, _) = reader.resolver().resolve_attribute(attribute.key);
                element.set_attr(format!("xmlns:{prefix}"), namespace(resolved));
            }
        }
        element.set_attr(name.to_owned(), value);
    }
    Ok(Tag { element, empty })
}

fn namespace(resolved: ResolveResult<'_>) -> String {
    match resolved {
        ResolveResult::Bound(namespace) => namespace.into_inner().to_owned(),
        // A prefix that nobody declared: no namespace we know, whatever the file meant.
        ResolveResult::Unbound | ResolveResult::Unknown(_) => String::new(),
    }
}

/// A path from a relative URI, if it stays below where it starts.
fn relative_path(href: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(href.len());
    let mut rest = href.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = after;
    }
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (inside && path.file_name().is_some() && !href.contains("://")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_stay_below_their_file() {
        let check = |href: &str, path: Option<&str>| {
            assert_eq!(
                relative_path(href).as_deref(),
                path.map(Path::new),
                "{href}"
            )
        };
        check("capulet.com.xml", Some("capulet.com.xml"));
        check("capulet.com/juliet.xml", Some("capulet.com/juliet.xml"));
        check("a%20b/%C3%A4.xml", Some("a b/ä.xml"));
        for wrong in [
            "",
            "/etc/passwd",
            "../x.xml",
            "a/../../x",
            "%2e%2e/x",
            "http://a/b.xml",
            "a%2",
            "%zz",
        ] {
            check(wrong, None);
        }
    }
}
