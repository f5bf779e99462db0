//! Documents for the tests: generated well-formed ones, and mutations that stay close to XML.

/// xorshift64*: deterministic, so that what fails once fails again.
pub(crate) struct Rng(u64);

impl Rng {
    /// A generator; equal seeds give equal documents.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % bound
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const NAMES: &[&str] = &[
    "a", "b", "message", "body", "x-1", "_z", "é", "日本", "n.o", "Ω·",
];
const TEXTS: &[&str] = &[
    "",
    "text",
    " ",
    "\n\t",
    "\r\n",
    "\r",
    "&amp;",
    "&lt;",
    "&gt;",
    "&apos;",
    "&quot;",
    "&#65;",
    "&#x1F98A;",
    "&#13;",
    "&#9;",
    "é",
    "\u{1F98A}",
    "\u{85}",
    "]]",
    "]",
    ">",
    "'",
    "\"",
    "=",
    "/",
    "\u{7F}",
    "\u{FFFD}",
];

/// A well-formed document: one element.
pub(crate) fn document(rng: &mut Rng) -> Vec<u8> {
    let mut out = String::new();
    let mut prefixes = Vec::new();
    element(rng, 0, &mut prefixes, &mut out);
    out.into_bytes()
}

fn space(rng: &mut Rng) -> &'static str {
    rng.pick(&["", "", "", " ", "\n", "\t ", "\r\n"])
}

fn element(rng: &mut Rng, depth: usize, prefixes: &mut Vec<&'static str>, out: &mut String) {
    let in_scope = prefixes.len();
    let mut attrs = Vec::new();
    for prefix in ["p", "q", "r"] {
        if rng.below(6) == 0 {
            let namespace = rng.pick(&["urn:one", "urn:two", "urn:xmpp:ping"]);
            // Two prefixes for one namespace make attributes collide; that is left to the mutations.
            attrs.push((format!("xmlns:{prefix}"), format!("{namespace}:{prefix}")));
            prefixes.push(prefix);
        }
    }
    if rng.below(4) == 0 {
        attrs.push((
            "xmlns".into(),
            rng.pick(&["", "jabber:client", "urn:three"]).to_owned(),
        ));
    }
    for _ in 0..rng.below(4) {
        let name = prefixed(rng, prefixes);
        let value = (0..rng.below(4)).map(|_| rng.pick(TEXTS)).collect();
        if !attrs.iter().any(|(known, _)| *known == name) {
            attrs.push((name, value));
        }
    }
    if rng.below(6) == 0 {
        attrs.push(("xml:lang".into(), "en".into()));
    }
    let name = prefixed(rng, prefixes);
    out.push('<');
    out.push_str(&name);
    for (name, value) in &attrs {
        let quote = if value.contains('\'') { '"' } else { '\'' };
        let value = value.replace(quote, "&#34;");
        let (gap, before, after) = (rng.pick(&[" ", "  ", "\n", "\t"]), space(rng), space(rng));
        out.push_str(&format!("{gap}{name}{before}={after}{quote}{value}{quote}"));
    }
    out.push_str(space(rng));
    if rng.below(4) == 0 {
        out.push_str("/>");
    } else {
        out.push('>');
        for _ in 0..rng.below(5) {
            match rng.below(8) {
                0 => out.push_str(rng.pick(&[
                    "<![CDATA[]]>",
                    "<![CDATA[<&>]]>",
                    "<![CDATA[x\r\n]]]]>",
                ])),
                1..4 if depth < 5 => element(rng, depth + 1, prefixes, out),
                _ => {
                    let text = rng.pick(TEXTS);
                    // `]]` before `>` would be the end of a CDATA section that is none.
                    if !(text == ">" && out.ends_with(']')) {
                        out.push_str(text);
                    }
                }
            }
        }
        out.push_str(&format!("</{name}{}>", space(rng)));
    }
    prefixes.truncate(in_scope);
}

fn prefixed(rng: &mut Rng, prefixes: &[&str]) -> String {
    let name = rng.pick(NAMES);
    match rng.below(3) {
        0 if !prefixes.is_empty() => format!("{}:{name}", rng.pick(prefixes)),
        _ => name.to_owned(),
    }
}

const PIECES: &[&[u8]] = &[
    b"<",
    b">",
    b"/",
    b"=",
    b"'",
    b"\"",
    b"&",
    b";",
    b":",
    b"!",
    b"?",
    b" ",
    b"\n",
    b"]]>",
    b"<![CDATA[",
    b"<!--",
    b"-->",
    b"<?",
    b"?>",
    b"&#0;",
    b"&#xFFFF;",
    b"&nbsp;",
    b"&amp;",
    b"&#x;",
    b"&#1114112;",
    b"xmlns",
    b"xmlns:p",
    b"xmlns=''",
    b" xmlns:xml='x'",
    b"p:",
    b"a",
    b"\0",
    b"\x01",
    b"\x7F",
    b"\x80",
    b"\xC3",
    b"\xED\xA0\x80",
    b"\xEF\xBF\xBE",
    b"\xEF\xBB\xBF",
    b"\xF4\x90\x80\x80",
    b"\xC2\x85",
    "\u{D7}".as_bytes(),
    "\u{300}".as_bytes(),
    "\u{10FFFF}".as_bytes(),
    b"<a/>",
    b"</a>",
    b"<a>",
    b" a='1'",
    b" p:a='1' q:a='2'",
    b" xmlns:p='urn:q' xmlns:q='urn:q'",
    b"<!DOCTYPE a>",
    b"]]",
    b"\r",
];

/// Changes a document a little: a byte, a piece put in, taken out, copied or moved.
pub(crate) fn mutate(rng: &mut Rng, document: &mut Vec<u8>) {
    let at = rng.below(document.len() + 1);
    let to = (at + rng.below(12)).min(document.len());
    match rng.below(6) {
        0 => drop(document.drain(at..to)),
        1 if at < document.len() => document[at] = rng.below(256) as u8,
        2 if at < document.len() => document[at] ^= 1 << rng.below(8),
        3 => {
            let piece = document[at..to].to_vec();
            let other = rng.below(document.len() + 1);
            document.splice(other..other, piece);
        }
        _ => {
            let piece = rng.pick(PIECES);
            document.splice(at..at, piece.iter().copied());
        }
    }
}
