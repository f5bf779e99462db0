//! What a verification found.

use std::fmt;

use xmpp::BareJid;

/// Problems that are listed; of more only the number is known.
const MAX_LISTED: usize = 100;

/// Something that is wrong with an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Numbers are missing.
    Gap {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// An entry is earlier than the one before it.
    TimeGoesBack {
        /// Which.
        number: u64,
    },
    /// What is stored cannot be understood: a checksum, a format, an object that is missing.
    Unreadable {
        /// From which number on.
        number: u64,
        /// What was found.
        why: String,
    },
    /// An entry points at a stanza that is not there.
    NoStanza {
        /// Which.
        number: u64,
    },
    /// An entry that may still be to be delivered is in a segment.
    WaitsInSegment {
        /// Which.
        number: u64,
    },
    /// The index of a segment says something else than its frames.
    WrongIndex {
        /// The first number of the frame.
        number: u64,
    },
    /// Two segments have the same number, or one has another's object.
    SegmentsOverlap {
        /// The first number of the later one.
        number: u64,
    },
    /// An item of the table is not the one that its segment was made of, nor a rewritten one.
    StrayItem {
        /// Its first number.
        number: u64,
    },
    /// A contact occurs in a block of numbers whose row does not name it: it is not found there.
    ContactNotNamed {
        /// Which block.
        block: u64,
    },
    /// Nobody points at an object, and no writer is on its way any more. A sweep removes it.
    Dangling {
        /// Its name.
        object: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { from, to } => write!(f, "{from} to {to} are missing"),
            Self::TimeGoesBack { number } => {
                write!(f, "{number} is earlier than the one before it")
            }
            Self::Unreadable { number, why } => write!(f, "{number} cannot be read: {why}"),
            Self::NoStanza { number } => write!(f, "the stanza of {number} is missing"),
            Self::WaitsInSegment { number } => {
                write!(f, "{number} may wait to be delivered and is in a segment")
            }
            Self::WrongIndex { number } => write!(f, "the index of the frame of {number} is wrong"),
            Self::SegmentsOverlap { number } => {
                write!(f, "the segment of {number} overlaps another")
            }
            Self::StrayItem { number } => {
                write!(
                    f,
                    "the item of {number} is not what its segment was made of"
                )
            }
            Self::ContactNotNamed { block } => {
                write!(f, "the row of contacts of block {block} does not name all")
            }
            Self::Dangling { object } => write!(f, "nobody points at {object}"),
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose archive.
    pub archive: BareJid,
    /// The newest number.
    pub head: u64,
    /// Entries that were read from the table.
    pub in_table: u64,
    /// Entries that were read from segments.
    pub in_segments: u64,
    /// Entries whose stanza is an object.
    pub large: u64,
    /// Segments.
    pub segments: u64,
    /// Frames of segments whose checksum was computed.
    pub frames: u64,
    /// Bytes of segments' objects.
    pub object_bytes: u64,
    /// Items that are in the table and in a segment: of a compaction that is under way or died.
    pub overlapping_items: u64,
    /// Rows of contacts.
    pub rows: u64,
    /// Objects that nobody points at and that may be under way.
    pub objects_under_way: u64,
    /// What is wrong; the first hundred.
    pub problems: Vec<Problem>,
    /// How much is wrong.
    pub problem_count: u64,
}

impl Report {
    pub(super) fn new(archive: BareJid) -> Self {
        Self {
            archive,
            head: 0,
            in_table: 0,
            in_segments: 0,
            large: 0,
            segments: 0,
            frames: 0,
            object_bytes: 0,
            overlapping_items: 0,
            rows: 0,
            objects_under_way: 0,
            problems: Vec::new(),
            problem_count: 0,
        }
    }

    pub(super) fn add(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < MAX_LISTED {
            self.problems.push(problem);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} entries in the table, {} in {} segments of {} bytes, {} problems",
            self.archive,
            self.in_table,
            self.in_segments,
            self.segments,
            self.object_bytes,
            self.problem_count
        )
    }
}
