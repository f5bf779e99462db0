//! SQL and its arguments.

use bytes::Bytes;

use crate::dialect::Dialect;

/// An argument.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    /// Bytes or null.
    Bytes(Option<Bytes>),
    /// A number or null.
    Int(Option<i64>),
    /// An array of them; PostgreSQL has arrays.
    ManyBytes(Vec<Option<Bytes>>),
    /// An array of them.
    ManyInts(Vec<Option<i64>>),
}

/// SQL whose text holds nothing but ours: names, which were looked at, and places for arguments.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) arguments: Vec<Argument>,
    dialect: Dialect,
}

impl Statement {
    pub(crate) fn new(dialect: Dialect, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            arguments: Vec::new(),
            dialect,
        }
    }

    /// About how many bytes it has with its arguments.
    pub(crate) fn size(&self) -> usize {
        let of = |argument: &Argument| match argument {
            Argument::Bytes(bytes) => bytes.as_ref().map_or(0, Bytes::len) + 16,
            Argument::Int(_) => 16,
            Argument::ManyBytes(list) => list.iter().flatten().map(|bytes| bytes.len() + 16).sum(),
            Argument::ManyInts(list) => list.len() * 16,
        };
        self.text.len() + self.arguments.iter().map(of).sum::<usize>()
    }

    /// Adds text.
    #[must_use]
    pub(crate) fn then(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Adds the place of an argument.
    #[must_use]
    pub(crate) fn argument(mut self, argument: Argument) -> Self {
        self.arguments.push(argument);
        match self.dialect {
            Dialect::Postgres => {
                self.text.push('$');
                self.text.push_str(&self.arguments.len().to_string());
            }
            Dialect::MySql | Dialect::Sqlite => self.text.push('?'),
        }
        self
    }

    #[must_use]
    pub(crate) fn bytes(self, bytes: &Bytes) -> Self {
        self.argument(Argument::Bytes(Some(bytes.clone())))
    }

    #[must_use]
    pub(crate) fn maybe_bytes(self, bytes: Option<&Bytes>) -> Self {
        self.argument(Argument::Bytes(bytes.cloned()))
    }

    #[must_use]
    pub(crate) fn int(self, int: i64) -> Self {
        self.argument(Argument::Int(Some(int)))
    }

    #[must_use]
    pub(crate) fn maybe_int(self, int: Option<i64>) -> Self {
        self.argument(Argument::Int(int))
    }

    /// Adds a list: what `each` adds for every item, with `between` between them.
    #[must_use]
    pub(crate) fn list<T>(
        mut self,
        items: impl IntoIterator<Item = T>,
        between: &str,
        each: impl Fn(Self, T) -> Self,
    ) -> Self {
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self = self.then(between);
            }
            self = each(self, item);
        }
        self
    }
}
