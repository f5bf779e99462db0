//! Load: flags over environment over file over defaults, and every mistake at once.
//!
//! A variable `STARLING_<KEY>` sets a key, `__` stands for the dot: `STARLING_STORAGE__BACKEND=memory`,
//! `STARLING_DOMAINS=example.org,example.net`, `STARLING_LISTENERS=:5222,direct:5223`. Its value is TOML where it is some,
//! else text; a list may be written with commas. `STARLING_CONFIG` names the file. A variable that is no key is a mistake,
//! but for those that a container's host sets for every service, of ours too: [`Loaded::notes`] names them.
//!
//! Without a file and without a domain the node is a development node, see [`Config::development`].

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use super::{
    Config,
    certificates::{self, Written},
    meaning,
    mistake::{Mistake, Mistakes, Place},
    origin::{Origin, origins},
    raw::{self, Node, Table, Value},
    user_data::{self, Foreign, Launched, Unread},
    values::nearest,
};

const PREFIX: &str = "STARLING_";
/// Variables that are no keys: the file, and what the command line reads by itself.
const RESERVED: [&str; 1] = ["CONFIG"];
/// First words of keys.
pub(super) const KEYS: [&str; 22] = [
    "domains",
    "data",
    "storage",
    "cluster",
    "listeners",
    "http",
    "api",
    "certificates",
    "auth",
    "registration",
    "limits",
    "stream_management",
    "archive",
    "maintenance",
    "offline",
    "rooms",
    "pubsub",
    "contacts",
    "admins",
    "log",
    "shutdown_grace",
    READY_FILE,
];
const READY_FILE: &str = "ready_file";

/// Values from the command line.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--domain`, repeatable.
    pub domains: Vec<String>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--listen`, repeatable: `[::]:5222`, `direct:[::]:5223`.
    pub listeners: Vec<String>,
    /// `--http`: an address, or `off`.
    pub http: Option<String>,
    /// `--log`.
    pub log: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--memory`.
    pub memory: bool,
    /// `--ready-file`.
    pub ready_file: Option<PathBuf>,
}

/// Where configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// The command line.
    pub overrides: Overrides,
    /// The instance of EC2, where there is no file: its user data stand for one.
    pub launched: Option<Launched>,
}

impl Sources {
    /// From this process.
    pub fn of_process(file: Option<PathBuf>, overrides: Overrides) -> Self {
        // A variable that is no Unicode cannot be ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            file,
            environment: std::env::vars_os().filter_map(text).collect(),
            overrides,
            launched: None,
        }
    }

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.environment.iter();
        variables
            .find(|(it, _)| it == name)
            .map(|(_, value)| value.as_str())
    }

    /// The file that is named.
    pub fn named_file(&self) -> Option<PathBuf> {
        let variable = || self.variable("STARLING_CONFIG").map(PathBuf::from);
        self.file.clone().or_else(variable)
    }
}

/// A configuration and what to tell about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file it came from.
    pub file: Option<PathBuf>,
    /// Whether it came from an instance's user data in place of a file.
    pub is_launched: bool,
    /// What was written, key by key; the rest are defaults.
    pub origins: Vec<Origin>,
    /// What is worth a warning.
    pub notes: Vec<String>,
    written: Written,
}

impl Loaded {
    /// Reads the certificates and tells what is wrong with them: nothing that belongs to each command.
    pub fn certificate_mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = certificates::check(&self.config, &self.written);
        mistakes.sort();
        mistakes
    }
}

/// Reads the configuration.
///
/// # Errors
/// Every mistake there is.
pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
    let mistakes = RefCell::new(Vec::new());
    let mut notes = Vec::new();
    let file = sources.named_file();
    let mut given = None;
    let mut table = match (&file, &sources.launched) {
        (Some(path), _) => read(path, &mistakes),
        (None, Some(launched)) => {
            given = user_data(launched, &mistakes);
            match &mut given {
                Some(Given::Table(table)) => std::mem::take(table),
                _ => Table::new(),
            }
        }
        (None, None) => Table::new(),
    };
    if !mistakes.borrow().is_empty() {
        // What can be read of such a file means something else than what was meant.
        return Err(Mistakes(mistakes.into_inner()));
    }
    environment(&sources.environment, &mut table, &mut notes, &mistakes);
    flags(&sources.overrides, &mut table);

    if let Some(Given::Foreign(foreign)) = &given {
        // They are somebody else's matter only where something else says what this node is.
        if !table.contains_key("domains") {
            return Err(Mistakes(foreign.mistakes()));
        }
        notes.push(foreign.to_string());
    }
    let is_given = matches!(given, Some(Given::Table(_)));
    if let Some(launched) = sources.launched.as_ref().filter(|_| is_given) {
        user_data::defaults(&mut table, launched);
    }
    let served = file.is_some() || is_given || table.contains_key("domains");
    let data = default_data(sources.variable("XDG_DATA_HOME"));
    let defaults = if served {
        Config::served(data)
    } else {
        Config::development(data)
    };
    let place = match &file {
        Some(path) => Place::start_of(path),
        None if is_given => user_data::start(),
        None => Place::Nowhere,
    };
    if served && !table.contains_key("domains") {
        mistakes.borrow_mut().push(Mistake {
            place: place.clone(),
            key: "domains".to_owned(),
            wrong: "no domain is named".to_owned(),
            remedy: "write domains = [\"example.org\"]".to_owned(),
        });
    }
    let origins = origins(&table);
    let (config, written) = meaning::config(table, place, defaults, &mistakes);
    let mut mistakes = mistakes.into_inner();
    if mistakes.is_empty() {
        return Ok(Loaded {
            config,
            file,
            is_launched: is_given,
            origins,
            notes,
            written,
        });
    }
    mistakes.sort();
    mistakes.dedup();
    Err(Mistakes(mistakes))
}

/// What an instance was given.
enum Given {
    /// A configuration.
    Table(Table),
    /// Something for others.
    Foreign(Foreign),
}

/// Reads what an instance was given; `None`: nothing, or mistakes.
fn user_data(launched: &Launched, mistakes: &RefCell<Vec<Mistake>>) -> Option<Given> {
    match user_data::read(launched.data.as_deref()?) {
        Ok(table) => Some(Given::Table(table)),
        Err(Unread::Foreign(foreign)) => Some(Given::Foreign(foreign)),
        Err(Unread::Mistakes(found)) => {
            mistakes.borrow_mut().extend(found);
            None
        }
    }
}

/// `$XDG_DATA_HOME/starling`, or `starling-data` where the node is started.
fn default_data(xdg: Option<&str>) -> PathBuf {
    match xdg.map(Path::new) {
        // The XDG specification: a relative path is to be ignored.
        Some(home) if home.is_absolute() => home.join("starling"),
        _ => PathBuf::from("starling-data"),
    }
}

fn read(path: &Path, mistakes: &RefCell<Vec<Mistake>>) -> Table {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let (table, found) = raw::from_toml(path, &text);
            mistakes.borrow_mut().extend(found);
            table
        }
        Err(error) => {
            mistakes.borrow_mut().push(Mistake {
                place: Place::Flag("--config"),
                key: path.display().to_string(),
                wrong: format!("the file cannot be read ({error})"),
                remedy: "name another file, or leave the argument out for a development node"
                    .to_owned(),
            });
            Table::new()
        }
    }
}

/// Whether a container's host sets such a variable for a service of ours: `STARLING_SERVICE_HOST`,
/// `STARLING_C2S_PORT_5222_TCP_ADDR` and the like.
fn is_of_host(key: &str) -> bool {
    let words: Vec<&str> = key.split('_').collect();
    let number = |word: &str| word.parse::<u16>().is_ok();
    let link = |words: &[&str]| {
        matches!(words, ["PORT"])
            || matches!(words, ["PORT", port, "TCP" | "UDP" | "SCTP"] if number(port))
            || matches!(words, ["PORT", port, "TCP" | "UDP" | "SCTP", "PROTO" | "PORT" | "ADDR"] if number(port))
    };
    let service = |words: &[&str]| {
        matches!(words, ["SERVICE", "HOST"]) || matches!(words, ["SERVICE", "PORT", ..])
    };
    (0..words.len()).any(|from| link(&words[from..]) || service(&words[from..]))
}

fn environment(
    variables: &[(String, String)],
    table: &mut Table,
    notes: &mut Vec<String>,
    mistakes: &RefCell<Vec<Mistake>>,
) {
    let mut variables: Vec<_> = variables
        .iter()
        .filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)))
        .filter(|(_, key, _)| !RESERVED.contains(key))
        .collect();
    variables.sort();
    for (name, key, value) in variables {
        let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
        let known = path
            .first()
            .is_some_and(|first| KEYS.contains(&first.as_str()));
        if !known && !is_of_host(key) {
            let first = path.first().map_or("", String::as_str);
            let remedy = match nearest(first, KEYS) {
                Some(name) => format!("did you mean {PREFIX}{}?", name.to_ascii_uppercase()),
                None => "unset it, or see the example configuration for what there is".to_owned(),
            };
            mistakes.borrow_mut().push(Mistake {
                place: Place::Environment(name.clone()),
                key: path.join("."),
                wrong: "no such key".to_owned(),
                remedy,
            });
            continue;
        }
        if !known {
            notes.push(format!(
                "environment {name} is no key of the configuration and is left alone"
            ));
            continue;
        }
        let node = raw::from_text(&Place::Environment(name.clone()), value);
        raw::overlay(table, &path, node);
    }
}

fn flags(overrides: &Overrides, table: &mut Table) {
    let mut set = |flag: &'static str, path: &[&str], value: Value| {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        raw::overlay(
            table,
            &path,
            Node {
                place: Place::Flag(flag),
                value,
            },
        );
    };
    let list = |flag, texts: &[String]| {
        let node = |text: &String| Node {
            place: Place::Flag(flag),
            value: Value::Text(text.clone()),
        };
        Value::Array(texts.iter().map(node).collect())
    };
    let text = |text: &Path| Value::Text(text.to_string_lossy().into_owned());
    if !overrides.domains.is_empty() {
        set(
            "--domain",
            &["domains"],
            list("--domain", &overrides.domains),
        );
    }
    if let Some(data) = &overrides.data {
        set("--data", &["data"], text(data));
    }
    if !overrides.listeners.is_empty() {
        set(
            "--listen",
            &["listeners"],
            list("--listen", &overrides.listeners),
        );
    }
    if let Some(http) = &overrides.http {
        let value = if http == "off" {
            Value::Boolean(false)
        } else {
            Value::Text(http.clone())
        };
        set("--http", &["http"], value);
    }
    if let Some(filter) = &overrides.log {
        set("--log", &["log", "filter"], Value::Text(filter.clone()));
    }
    if let Some(format) = &overrides.log_format {
        set(
            "--log-format",
            &["log", "format"],
            Value::Text(format.clone()),
        );
    }
    if overrides.memory {
        // All that was said of another backend falls with it.
        let mut storage = Table::new();
        raw::overlay(
            &mut storage,
            &["backend".to_owned()],
            Node {
                place: Place::Flag("--memory"),
                value: Value::Text("memory".to_owned()),
            },
        );
        table.remove("storage");
        raw::overlay(
            table,
            &["storage".to_owned()],
            Node {
                place: Place::Flag("--memory"),
                value: Value::Table(storage),
            },
        );
    }
    if let Some(path) = &overrides.ready_file {
        raw::overlay(
            table,
            &[READY_FILE.to_owned()],
            Node {
                place: Place::Flag("--ready-file"),
                value: text(path),
            },
        );
    }
}
