//! Who may import whom: reads our own `use` lines, so that a wrong arrow shows itself the same day.
//!
//! The arrows are those of the style page, for the modules that are there. What does not follow them stands in
//! [`EXCEPTIONS`] with its reason; an exception that nobody needs any more fails the test too. Tests may import anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What everybody may import: values and leaves without a way back.
const COMMON: &[&str] = &[
    "attempts", "clock", "config", "keys", "metrics", "random", "shape", "shutdown", "turns",
];

/// Module, and what else it may import.
const ARROWS: &[(&str, &[&str])] = &[
    ("specs", &["module"]),
    ("main", &["cli"]),
    (
        "cli",
        &[
            "admin",
            "instance",
            "log",
            "maintenance",
            "modules",
            "net",
            "serve",
            "status",
            "stores",
            "transfer",
        ],
    ),
    (
        "serve",
        &[
            "admin",
            "api",
            "app",
            "first_start",
            "gauges",
            "http",
            "instance",
            "membership",
            "net",
            "ready_file",
            "routing",
            "status",
            "stores",
        ],
    ),
    (
        "app",
        &[
            "c2s",
            "certificates",
            "gauges",
            "home",
            "intake",
            "maintenance",
            "module",
            "modules",
            "net",
            "routing",
            "stores",
            "sweep",
        ],
    ),
    ("certificates", &["net"]),
    ("instance", &[]),
    ("intake", &["c2s", "home", "pipeline", "routing"]),
    ("sweep", &["home", "intake", "pipeline", "routing"]),
    ("maintenance", &["routing"]),
    ("membership", &["intake", "routing"]),
    (
        "admin",
        &[
            "c2s",
            "membership",
            "module",
            "modules",
            "routing",
            "status",
        ],
    ),
    ("api", &["admin", "net"]),
    ("attempts", &[]),
    ("status", &["membership"]),
    ("first_start", &["net"]),
    ("transfer", &["modules"]),
    ("specs", &["module"]),
    ("gauges", &["membership", "net", "routing"]),
    ("c2s", &["home", "module", "net", "pipeline", "routing"]),
    ("home", &["module", "modules", "pipeline", "routing"]),
    ("pipeline", &["module", "modules", "poll_once", "routing"]),
    ("modules", &["module"]),
    ("routing", &["module"]),
    ("module", &[]),
    ("poll_once", &["routing"]),
    ("config", &["net"]),
    ("net", &[]),
    ("stores", &[]),
    ("log", &[]),
    ("http", &["status"]),
    ("ready_file", &[]),
    ("metrics", &[]),
    ("shutdown", &[]),
    ("clock", &[]),
    ("keys", &[]),
    ("random", &[]),
    ("shape", &[]),
    ("turns", &[]),
];

/// From, to, and why all the same.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "routing",
        "home",
        "the router holds the homes of this node: a stanza to a bare address goes to one",
    ),
    (
        "routing",
        "pipeline",
        "the router hands requests and presence to the steps of their recipient",
    ),
    (
        "routing",
        "c2s",
        "the router holds the sessions that are parked, and the gate of those that come",
    ),
    (
        "routing",
        "modules",
        "the router holds the rosters: presence is routed by them",
    ),
    (
        "routing",
        "poll_once",
        "what a module has done by the way is polled once where it is asked for",
    ),
    (
        "routing",
        "net",
        "the router holds the pipes to clients whose sockets other nodes hold",
    ),
    (
        "routing",
        "poll_once",
        "what a module begins is done at once if it need not wait",
    ),
    (
        "pipeline",
        "home",
        "a step asks the home whose task runs it",
    ),
    (
        "pipeline",
        "c2s",
        "the steps of a sender change the state of its session",
    ),
    (
        "c2s",
        "modules",
        "an account is made before there is a session, and an archive is described while one is bound, by their modules",
    ),
    (
        "module",
        "routing",
        "what a Context hands out: sessions and their entries in the directory",
    ),
    ("module", "pipeline", "the type of a request"),
    (
        "module",
        "modules",
        "what a contact may see of an account, as the roster says it",
    ),
    (
        "modules",
        "routing",
        "what a Context hands out: sessions, their entries and flags",
    ),
    (
        "modules",
        "pipeline",
        "presence that a change of roster or block list causes, as values",
    ),
    (
        "modules",
        "home",
        "the one error for a store that is contended; to be moved to `module`",
    ),
];

struct Arrow {
    from: String,
    to: String,
    place: String,
}

#[test]
fn arrows_go_one_way() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for arrow in arrows() {
        let known = ARROWS.iter().find(|(from, _)| *from == arrow.from);
        let Some((_, allowed)) = known else {
            wrong.push(format!(
                "{}: module `{}` has no line in ARROWS",
                arrow.place, arrow.from
            ));
            continue;
        };
        if COMMON.contains(&arrow.to.as_str()) || allowed.contains(&arrow.to.as_str()) {
            continue;
        }
        match EXCEPTIONS
            .iter()
            .find(|(from, to, _)| *from == arrow.from && *to == arrow.to)
        {
            Some((from, to, _)) => {
                used.insert((*from, *to));
            }
            None => wrong.push(format!(
                "{}: {} must not import {}",
                arrow.place, arrow.from, arrow.to
            )),
        }
    }
    for (from, to, _) in EXCEPTIONS {
        if !used.contains(&(*from, *to)) {
            wrong.push(format!(
                "nobody needs the exception {from} -> {to} any more: take it out"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn common_modules_import_nothing_else() {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for arrow in arrows()
        .into_iter()
        .filter(|arrow| COMMON.contains(&arrow.from.as_str()))
    {
        seen.entry(arrow.from).or_default().insert(arrow.to);
    }
    let allowed = |from: &str, to: &str| COMMON.contains(&to) || (from, to) == ("config", "net");
    for (from, targets) in seen {
        for to in targets {
            assert!(allowed(&from, &to), "{from} -> {to}");
        }
    }
}

/// Every import of another module of the crate.
fn arrows() -> Vec<Arrow> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in sources(&root) {
        let inside = path.strip_prefix(&root).expect("it was found below");
        let first = inside.iter().next().expect("a file has a name");
        let from = Path::new(first)
            .file_stem()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned();
        if from == "lib" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("sources can be read");
        for (line, to) in imports(&code(&text)) {
            if to != from {
                found.push(Arrow {
                    from: from.clone(),
                    to,
                    place: format!("src/{}:{line}", inside.display()),
                });
            }
        }
    }
    assert!(found.len() > 50, "the sources were read");
    found
}

/// Sources without tests.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("sources can be listed") {
        let path = entry.expect("sources can be listed").path();
        let stem = path.file_stem().unwrap_or_default();
        if stem == "tests" || stem == "recorder" {
            continue;
        }
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|it| it == "rs") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// A file without comments and without the tests at its end; the lines stay where they are.
fn code(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().map_or("", |it| it.trim());
        if line.trim() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            break;
        }
        let end = line.find("//").unwrap_or(line.len());
        out.push_str(&line[..end]);
        out.push('\n');
    }
    out
}

/// First names behind `crate::`, in paths and in `use crate::{a, b::{c, d}}`, with their lines.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(heads(list).into_iter().map(|name| (line, name))),
            None => found.extend(head(rest).map(|name| (line, name))),
        }
    }
    found
}

/// The first name of a path, if it is that of a module.
fn head(path: &str) -> Option<String> {
    let path = path.trim_start();
    let end = path
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(path.len());
    let name = &path[..end];
    name.starts_with(|c: char| c.is_ascii_lowercase())
        .then(|| name.to_owned())
}

/// The first names of the entries of a list that was opened.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.extend(head(&list[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(head(&list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<String> = imports(&code(text))
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(found, expected, "{text}");
    };
    check("use crate::net::Listener;", &["net"]);
    check(
        "use crate::{\n    home::{self, Home},\n    net,\n    routing::{a::{b, c}, d},\n};",
        &["home", "net", "routing"],
    );
    check(
        "fn a() { crate::random::token(); } // crate::c2s",
        &["random"],
    );
    check("use crate::Error; use other_crate::net;", &[]);
    check(
        "use crate::net;\n#[cfg(test)]\nmod tests {\n use crate::c2s;\n}",
        &["net"],
    );
    check("#[cfg(test)]\nmod tests;\nuse crate::net;", &["net"]);
}
