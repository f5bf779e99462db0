//! Edits of the bytes: addresses in the start tag, children out and in. All else is copied as it came.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{
    Fragment, Node,
    element::escape_into,
    fragment::tape::{AttrEntry, ELEMENT_SLOTS, ElementEntry, NS_XML, Slot},
};

/// Bytes to cut out of a start tag: an attribute with the white space before it.
type Cut = std::ops::Range<usize>;

/// The fragment with `from` and `to` set where given.
pub(super) fn with_addresses(fragment: &Fragment, from: Option<&str>, to: Option<&str>) -> Fragment {
    let (raw, slots) = (fragment.raw(), fragment.tape());
    let root = ElementEntry::read(slots, 0);
    let name_end = 1 + root.qname_len();
    let addresses = [("from", from), ("to", to)];

    let mut cuts = SmallVec::<[Cut; 2]>::new();
    let mut places = [None; 2];
    for (place, (name, new)) in places.iter_mut().zip(addresses) {
        if new.is_some() {
            *place = attribute_slots(&root).find(|&slot| AttrEntry::read(slots[slot]).name_in(raw) == name.as_bytes());
            cuts.extend(place.map(|slot| cut(raw, &AttrEntry::read(slots[slot]))));
        }
    }
    cuts.sort_unstable_by_key(|cut| cut.start);

    let grown: usize = addresses.iter().filter_map(|(_, new)| *new).map(|new| new.len() + 10).sum();
    let mut out = Vec::with_capacity(raw.len() + grown);
    out.extend_from_slice(&raw[..name_end]);
    let mut written = [None; 2];
    for (entry, (name, new)) in written.iter_mut().zip(addresses) {
        *entry = new.map(|new| write_attribute(&mut out, name, new));
    }
    let added = out.len() - name_end;
    let mut at = name_end;
    for cut in &cuts {
        out.extend_from_slice(&raw[at..cut.start]);
        at = cut.end;
    }
    out.extend_from_slice(&raw[at..]);

    let shift = |at: u32| {
        let cut_before: usize = cuts.iter().filter(|cut| cut.start < at as usize).map(|cut| cut.len()).sum();
        (at as usize + added - cut_before) as u32
    };
    let fresh = written.iter().zip(places).filter(|(written, place)| written.is_some() && place.is_none()).count();
    let mut tape = shifted(slots, &root, fresh, shift);
    let mut next_fresh = ELEMENT_SLOTS + usize::from(root.attrs);
    for (written, place) in written.into_iter().zip(places) {
        if let Some(attr) = written {
            let slot = place.unwrap_or(next_fresh);
            next_fresh += usize::from(place.is_none());
            tape[slot] = attr.slot();
        }
    }
    Fragment::assemble(trimmed(out), &tape, fragment.default_ns())
}

/// The fragment without one attribute of its root that declares the default namespace around it.
pub(super) fn without_attribute(fragment: &Fragment, attr: &AttrEntry) -> Fragment {
    let raw = fragment.raw();
    let cut = cut(raw, attr);
    let out = [&raw[..cut.start], &raw[cut.end..]].concat();
    Fragment::parse(out.into(), fragment.default_ns()).unwrap_or_else(|_| fragment.clone())
}

/// The bytes with some children left out and others appended.
pub(super) fn spliced(fragment: &Fragment, strip: impl Fn(Node<'_>) -> bool, children: &[u8]) -> Bytes {
    let raw = fragment.raw();
    let root = fragment.root().entry();
    let stripped: SmallVec<[Cut; 4]> = fragment
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
    let mut out = Vec::with_capacity(raw.len() - removed + children.len() + if root.is_empty_tag() { qname.len() + 2 } else { 0 });
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

fn attribute_slots(root: &ElementEntry) -> std::ops::Range<usize> {
    ELEMENT_SLOTS..ELEMENT_SLOTS + usize::from(root.attrs)
}

fn cut(raw: &[u8], attr: &AttrEntry) -> Cut {
    let name = attr.name as usize;
    let space = raw[..name].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    name - space..(attr.value + attr.value_len) as usize + 1
}

/// Appends ` name='value'` and answers its entry.
fn write_attribute(out: &mut Vec<u8>, name: &str, value: &str) -> AttrEntry {
    out.push(b' ');
    let at = out.len();
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    let start = out.len();
    escape_into(out, value);
    let value_len = (out.len() - start) as u32;
    out.push(b'\'');
    AttrEntry { name: at as u32, name_len: name.len() as u16, prefix_len: 0, value: start as u32, value_len }
}

/// The tape with every offset shifted and `fresh` empty slots after the root's attributes.
fn shifted(slots: &[Slot], root: &ElementEntry, fresh: usize, shift: impl Fn(u32) -> u32) -> SmallVec<[Slot; 48]> {
    let root_end = ELEMENT_SLOTS + usize::from(root.attrs);
    // All that follows the start tag moves by the same distance.
    let distance = shift(root.inner).wrapping_sub(root.inner);
    let moved = |at: u32| at.wrapping_add(distance);
    let slot = |slot: u32| if slot as usize >= root_end { slot + fresh as u32 } else { slot };

    let mut tape = SmallVec::with_capacity(slots.len() + fresh);
    let entry = ElementEntry {
        // The name stays; what follows the start tag moves. An address never changes a namespace.
        attrs: root.attrs + fresh as u16,
        next: slot(root.next),
        inner: moved(root.inner),
        inner_end: moved(root.inner_end),
        end: moved(root.end),
        ..*root
    };
    tape.extend(entry.slots());
    for &attr in &slots[ELEMENT_SLOTS..root_end] {
        let attr = AttrEntry::read(attr);
        tape.push(AttrEntry { name: shift(attr.name), value: shift(attr.value), ..attr }.slot());
    }
    tape.extend(std::iter::repeat_n([0; 4], fresh));
    let mut index = root_end;
    while index < slots.len() {
        let entry = ElementEntry::read(slots, index as u32);
        let entry = ElementEntry {
            start: moved(entry.start),
            name: moved(entry.name),
            ns: if entry.ns > NS_XML { slot(entry.ns) } else { entry.ns },
            next: slot(entry.next),
            inner: moved(entry.inner),
            inner_end: moved(entry.inner_end),
            end: moved(entry.end),
            ..entry
        };
        tape.extend(entry.slots());
        index += ELEMENT_SLOTS;
        for &attr in &slots[index..index + usize::from(entry.attrs)] {
            let attr = AttrEntry::read(attr);
            tape.push(AttrEntry { name: moved(attr.name), value: moved(attr.value), ..attr }.slot());
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
