//! Edits of the bytes: addresses and language in the start tag, children out and in. All else is copied as it came.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{
    Fragment, Node,
    element::escape_into,
    fragment::tape::{AttrEntry, ELEMENT_SLOTS, ElementEntry, NS_XML, Slot},
};

/// An attribute that is set: its value replaced where it stands, or written after the last attribute.
struct Edit<'a> {
    name: &'static str,
    value: &'a str,
    /// What it replaces, quotes included; empty if the attribute is new.
    cut: Range<usize>,
    slot: Option<usize>,
    written: AttrEntry,
}

/// The fragment with `from`, `to` and `xml:lang` set where given.
pub(super) fn stamped(
    fragment: &Fragment,
    from: Option<&str>,
    to: Option<&str>,
    lang: Option<&str>,
) -> Fragment {
    let (raw, slots) = (fragment.raw(), fragment.tape());
    let root = ElementEntry::read(slots, 0);
    let mut edits: SmallVec<[Edit<'_>; 3]> = [("from", from), ("to", to), ("xml:lang", lang)]
        .into_iter()
        .filter_map(|(name, value)| Some(edit(raw, slots, &root, name, value?)))
        .collect();
    // New ones stand last anyhow; of two that exist, the first written comes first.
    edits.sort_by_key(|edit| edit.cut.start);

    let grown: usize = edits
        .iter()
        .map(|edit| edit.name.len() + edit.value.len() + 4)
        .sum();
    let cut: usize = edits.iter().map(|edit| edit.cut.len()).sum();
    let mut out = Vec::with_capacity(raw.len() + grown - cut);
    let mut at = 0;
    for edit in &mut edits {
        out.extend_from_slice(&raw[at..edit.cut.start]);
        edit.write(&mut out);
        at = edit.cut.end;
    }
    out.extend_from_slice(&raw[at..]);
    let tape = shifted(
        slots,
        &root,
        &edits,
        out.len().wrapping_sub(raw.len()) as u32,
    );
    Fragment::assemble(trimmed(out), &tape, fragment.default_ns())
}

fn edit<'a>(
    raw: &[u8],
    slots: &[Slot],
    root: &ElementEntry,
    name: &'static str,
    value: &'a str,
) -> Edit<'a> {
    let attrs = ELEMENT_SLOTS..ELEMENT_SLOTS + usize::from(root.attrs);
    let entry = |slot: usize| AttrEntry::read(slots[slot]);
    let slot = attrs
        .clone()
        .find(|&slot| entry(slot).name_in(raw) == name.as_bytes());
    let after = |slot: usize| (entry(slot).value + entry(slot).value_len) as usize + 1;
    let cut = match slot {
        Some(slot) => entry(slot).value as usize - 1..after(slot),
        None => {
            // A name ends where the attributes begin.
            let end = attrs.last().map_or(1 + root.qname_len(), after);
            end..end
        }
    };
    Edit {
        name,
        value,
        cut,
        slot,
        written: slot.map_or(AttrEntry::default(), entry),
    }
}

impl Edit<'_> {
    fn write(&mut self, out: &mut Vec<u8>) {
        if self.slot.is_none() {
            out.push(b' ');
            self.written.name = out.len() as u32;
            self.written.name_len = self.name.len() as u16;
            self.written.prefix_len = self.name.find(':').unwrap_or(0) as u16;
            out.extend_from_slice(self.name.as_bytes());
            out.push(b'=');
        }
        out.push(b'\'');
        self.written.value = out.len() as u32;
        escape_into(out, self.value);
        self.written.value_len = out.len() as u32 - self.written.value;
        out.push(b'\'');
    }
}

/// The fragment without one attribute of its root that declares the default namespace around it.
pub(super) fn without_attribute(fragment: &Fragment, attr: &AttrEntry) -> Fragment {
    let raw = fragment.raw();
    let cut = cut(raw, attr);
    let out = [&raw[..cut.start], &raw[cut.end..]].concat();
    Fragment::parse(out.into(), fragment.default_ns()).unwrap_or_else(|_| fragment.clone())
}

/// The bytes with some children left out and others appended.
pub(super) fn spliced(
    fragment: &Fragment,
    strip: impl Fn(Node<'_>) -> bool,
    children: &[u8],
) -> Bytes {
    let raw = fragment.raw();
    let root = fragment.root().entry();
    let stripped: SmallVec<[Range<usize>; 4]> = fragment
        .root()
        .children()
        .filter(|&child| strip(child))
        .map(|child| child.entry().start as usize..child.entry().end as usize)
        .collect();
    if stripped.is_empty() && children.is_empty() {
        return raw.clone();
    }
    let qname = &raw[1..=root.qname_len()];
    let removed: usize = stripped.iter().map(|cut| cut.len()).sum();
    let mut out = Vec::with_capacity(
        raw.len() - removed
            + children.len()
            + if root.is_empty_tag() {
                qname.len() + 2
            } else {
                0
            },
    );
    if root.is_empty_tag() {
        out.extend_from_slice(&raw[..raw.len() - 2]);
        out.push(b'>');
        out.extend_from_slice(children);
        out.extend_from_slice(b"</");
        out.extend_from_slice(qname);
        out.push(b'>');
    } else {
        let mut at = 0;
        for cut in &stripped {
            out.extend_from_slice(&raw[at..cut.start]);
            at = cut.end;
        }
        out.extend_from_slice(&raw[at..root.inner_end as usize]);
        out.extend_from_slice(children);
        out.extend_from_slice(&raw[root.inner_end as usize..]);
    }
    out.into()
}

/// Where an attribute stands, with the white space before it.
fn cut(raw: &[u8], attr: &AttrEntry) -> Range<usize> {
    let name = attr.name as usize;
    let space = raw[..name]
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    name - space..(attr.value + attr.value_len) as usize + 1
}

/// The tape of the edited bytes; all that follows the start tag has moved by `distance`.
fn shifted(
    slots: &[Slot],
    root: &ElementEntry,
    edits: &[Edit<'_>],
    distance: u32,
) -> SmallVec<[Slot; 48]> {
    let mut root_end = ELEMENT_SLOTS + usize::from(root.attrs);
    let mut tape = SmallVec::from_slice(slots);
    let mut shift = 0u32;
    for (index, slot) in tape[..root_end].iter_mut().enumerate().skip(ELEMENT_SLOTS) {
        let mut attr = AttrEntry::read(*slot);
        attr.shift(shift);
        if let Some(edit) = edits.iter().find(|edit| edit.slot == Some(index)) {
            shift = shift
                .wrapping_add(edit.written.value_len)
                .wrapping_sub(attr.value_len);
            attr.value_len = edit.written.value_len;
        }
        *slot = attr.slot();
    }
    let mut fresh = 0;
    for edit in edits.iter().filter(|edit| edit.slot.is_none()) {
        tape.insert(root_end, edit.written.slot());
        root_end += 1;
        fresh += 1;
    }
    let old_end = root_end as u32 - fresh;
    let mut root = *root;
    root.attrs += fresh as u16;
    root.shift_end(distance);
    root.next += fresh;
    tape[..ELEMENT_SLOTS].copy_from_slice(&root.slots());
    let mut index = root_end;
    while index < tape.len() {
        let mut entry = ElementEntry::read(&tape, index as u32);
        entry.start = entry.start.wrapping_add(distance);
        entry.name = entry.name.wrapping_add(distance);
        entry.shift_end(distance);
        entry.next += fresh;
        if entry.ns > NS_XML && entry.ns >= old_end {
            entry.ns += fresh;
        }
        tape[index..index + ELEMENT_SLOTS].copy_from_slice(&entry.slots());
        index += ELEMENT_SLOTS;
        for slot in &mut tape[index..index + usize::from(entry.attrs)] {
            let mut attr = AttrEntry::read(*slot);
            attr.shift(distance);
            *slot = attr.slot();
        }
        index += usize::from(entry.attrs);
    }
    tape
}

/// Bytes of exactly their size.
fn trimmed(mut out: Vec<u8>) -> Bytes {
    out.shrink_to_fit();
    out.into()
}
