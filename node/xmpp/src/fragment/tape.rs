//! Tape: the index over the bytes of an element, flat, in document order.
//!
//! An element takes two slots, followed by one slot for each attribute and then by its child elements. Text has no
//! slots: it is what stands between the children. All spans are offsets into the fragment's bytes, so the tape of a
//! stanza is shifted, not built anew, when its start tag is rewritten.

/// Four numbers.
pub(crate) type Slot = [u32; 4];

/// Namespace: the default one around the fragment.
pub(crate) const NS_DEFAULT: u32 = 0;
/// Namespace: that of the prefix `xml`. Larger numbers are the slot of the attribute that declares it.
pub(crate) const NS_XML: u32 = 1;

/// Slots an element takes before its attributes.
pub(crate) const ELEMENT_SLOTS: usize = 2;

/// An element's entry.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ElementEntry {
    /// Offset of `<`.
    pub(crate) start: u32,
    /// Offset of the local name.
    pub(crate) name: u32,
    pub(crate) name_len: u16,
    pub(crate) attrs: u16,
    /// [`NS_DEFAULT`], [`NS_XML`] or the slot of a declaration.
    pub(crate) ns: u32,
    /// The slot after the last descendant.
    pub(crate) next: u32,
    /// Offset after the start tag.
    pub(crate) inner: u32,
    /// Offset of the end tag; equal to `end` for an empty-element tag.
    pub(crate) inner_end: u32,
    /// Offset after the end tag.
    pub(crate) end: u32,
}

impl ElementEntry {
    pub(crate) fn read(slots: &[Slot], index: u32) -> Self {
        let index = index as usize;
        let [start, name, lengths, ns] = slots[index];
        let [next, inner, inner_end, end] = slots[index + 1];
        let (name_len, attrs) = unpack(lengths);
        Self {
            start,
            name,
            name_len,
            attrs,
            ns,
            next,
            inner,
            inner_end,
            end,
        }
    }

    pub(crate) fn slots(&self) -> [Slot; ELEMENT_SLOTS] {
        [
            [
                self.start,
                self.name,
                pack(self.name_len, self.attrs),
                self.ns,
            ],
            [self.next, self.inner, self.inner_end, self.end],
        ]
    }

    /// Moves what follows the start tag.
    pub(crate) fn shift_end(&mut self, distance: u32) {
        for at in [&mut self.inner, &mut self.inner_end, &mut self.end] {
            *at = at.wrapping_add(distance);
        }
    }

    /// Length of the qualified name, which begins one after `start`.
    pub(crate) fn qname_len(&self) -> usize {
        (self.name - self.start) as usize - 1 + self.name_len as usize
    }

    /// Whether it was written `<name/>`.
    pub(crate) fn is_empty_tag(&self) -> bool {
        self.inner == self.end
    }
}

/// An attribute's entry.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AttrEntry {
    /// Offset of the qualified name.
    pub(crate) name: u32,
    pub(crate) name_len: u16,
    /// Length of the prefix; 0: there is none.
    pub(crate) prefix_len: u16,
    /// Offset of the value, between the quotes.
    pub(crate) value: u32,
    pub(crate) value_len: u32,
}

impl AttrEntry {
    pub(crate) fn read(slot: Slot) -> Self {
        let [name, lengths, value, value_len] = slot;
        let (name_len, prefix_len) = unpack(lengths);
        Self {
            name,
            name_len,
            prefix_len,
            value,
            value_len,
        }
    }

    pub(crate) fn slot(&self) -> Slot {
        [
            self.name,
            pack(self.name_len, self.prefix_len),
            self.value,
            self.value_len,
        ]
    }

    /// Moves the attribute.
    pub(crate) fn shift(&mut self, distance: u32) {
        self.name = self.name.wrapping_add(distance);
        self.value = self.value.wrapping_add(distance);
    }

    pub(crate) fn name_in<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        &raw[self.name as usize..self.name as usize + self.name_len as usize]
    }

    pub(crate) fn prefix_in<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        &raw[self.name as usize..self.name as usize + self.prefix_len as usize]
    }

    pub(crate) fn value_in<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        &raw[self.value as usize..(self.value + self.value_len) as usize]
    }

    /// The prefix this attribute declares: `Some("")` for `xmlns`, `None` if it declares nothing.
    pub(crate) fn declares<'a>(&self, raw: &'a [u8]) -> Option<&'a [u8]> {
        let name = self.name_in(raw);
        match self.prefix_len {
            0 if name == b"xmlns" => Some(&[]),
            5 if name.starts_with(b"xmlns:") => Some(&name[6..]),
            _ => None,
        }
    }
}

fn pack(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

fn unpack(both: u32) -> (u16, u16) {
    ((both & 0xFFFF) as u16, (both >> 16) as u16)
}
