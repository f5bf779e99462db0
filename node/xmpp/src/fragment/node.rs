//! Node: a view of one element of a fragment; nothing is copied before it is asked for.

use std::{borrow::Cow, fmt, iter};

use super::{
    tape::{AttrEntry, ELEMENT_SLOTS, ElementEntry, NS_DEFAULT, NS_XML, Slot},
    text::{self, as_str},
};
use crate::{Element, ns};

/// What a tape and its offsets refer to.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) slots: &'a [Slot],
    pub(crate) default_ns: &'a str,
}

/// A view of one element of a fragment.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    view: View<'a>,
    index: u32,
}

impl<'a> Node<'a> {
    pub(crate) fn root(view: View<'a>) -> Self {
        Self { view, index: 0 }
    }

    pub(crate) fn entry(self) -> ElementEntry {
        ElementEntry::read(self.view.slots, self.index)
    }

    pub(crate) fn entries(self) -> impl Iterator<Item = AttrEntry> + use<'a> {
        let first = self.index as usize + ELEMENT_SLOTS;
        let slots: &'a [Slot] = &self.view.slots[first..first + usize::from(self.entry().attrs)];
        slots.iter().map(|&slot| AttrEntry::read(slot))
    }

    fn name_bytes(self) -> &'a [u8] {
        let entry = self.entry();
        &self.view.raw[entry.name as usize..entry.name as usize + usize::from(entry.name_len)]
    }

    fn ns_bytes(self) -> &'a [u8] {
        match self.entry().ns {
            NS_DEFAULT => self.view.default_ns.as_bytes(),
            NS_XML => ns::XML.as_bytes(),
            slot => AttrEntry::read(self.view.slots[slot as usize]).value_in(self.view.raw),
        }
    }

    /// Local name.
    pub fn name(self) -> &'a str {
        as_str(self.name_bytes())
    }

    /// Namespace.
    pub fn ns(self) -> &'a str {
        as_str(self.ns_bytes())
    }

    /// Whether name and namespace are these.
    pub fn is(self, name: &str, ns: &str) -> bool {
        self.name_bytes() == name.as_bytes() && self.ns_bytes() == ns.as_bytes()
    }

    /// Value of an attribute without a prefix (and of `xml:lang` under that name), references resolved.
    pub fn attr(self, name: &str) -> Option<Cow<'a, str>> {
        self.attr_entry(name)
            .map(|attr| text::value(attr.value_in(self.view.raw)))
    }

    pub(crate) fn attr_entry(self, name: &str) -> Option<AttrEntry> {
        let raw = self.view.raw;
        let mut found = self
            .entries()
            .filter(|attr| attr.name_in(raw) == name.as_bytes());
        found.find(|attr| attr.prefix_len == 0 || attr.prefix_in(raw) == b"xml")
    }

    /// Attributes as written, with their prefixes, references resolved; declarations of namespaces left out.
    pub fn attrs(self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        let raw = self.view.raw;
        let written = self.entries().filter(|attr| attr.declares(raw).is_none());
        written.map(|attr| (as_str(attr.name_in(raw)), text::value(attr.value_in(raw))))
    }

    /// Child elements.
    pub fn children(self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let entry = self.entry();
        let mut index = self.index + ELEMENT_SLOTS as u32 + u32::from(entry.attrs);
        iter::from_fn(move || {
            let child = Self { index, ..self };
            (index < entry.next).then(|| {
                index = child.entry().next;
                child
            })
        })
    }

    /// First child of this name and namespace.
    pub fn child(self, name: &str, ns: &str) -> Option<Node<'a>> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The element's own character data, joined, references resolved.
    pub fn text(self) -> Cow<'a, str> {
        let mut text = Cow::Borrowed("");
        self.for_each_part(|part| {
            if let Part::Text(more) = part {
                if text.is_empty() {
                    text = more;
                } else {
                    text.to_mut().push_str(&more);
                }
            }
        });
        text
    }

    /// The element's bytes, start tag to end tag, as they came (may lean on declarations of its ancestors).
    pub fn raw(self) -> &'a [u8] {
        let entry = self.entry();
        &self.view.raw[entry.start as usize..entry.end as usize]
    }

    /// An owned tree.
    pub fn to_element(self) -> Element {
        self.to_element_in(&mut self.declarations_around())
    }

    /// An owned tree; `scope` holds the declarations around it, the innermost last.
    fn to_element_in(self, scope: &mut Vec<AttrEntry>) -> Element {
        let raw = self.view.raw;
        let around = scope.len();
        scope.extend(self.entries().filter(|attr| attr.declares(raw).is_some()));
        let mut element = Element::new(self.name().to_owned(), self.ns().to_owned());
        for attr in self.entries().filter(|attr| attr.declares(raw).is_none()) {
            let prefix = attr.prefix_in(raw);
            if !prefix.is_empty() && prefix != b"xml" {
                // The tree has no prefixes; an attribute that has one brings its declaration along.
                let declared = scope
                    .iter()
                    .rev()
                    .find(|decl| decl.declares(raw) == Some(prefix));
                let namespace = declared.map_or("", |decl| as_str(decl.value_in(raw)));
                element.set_attr(format!("xmlns:{}", as_str(prefix)), namespace);
            }
            element.set_attr(
                as_str(attr.name_in(raw)).to_owned(),
                text::value(attr.value_in(raw)),
            );
        }
        self.for_each_part(|part| match part {
            Part::Text(text) => element.push_text(text),
            Part::Child(child) => element.push(child.to_element_in(scope)),
        });
        scope.truncate(around);
        element
    }

    /// The declarations of this element's ancestors.
    fn declarations_around(self) -> Vec<AttrEntry> {
        let mut found = Vec::new();
        let mut node = Self { index: 0, ..self };
        while node.index != self.index {
            found.extend(
                node.entries()
                    .filter(|attr| attr.declares(self.view.raw).is_some()),
            );
            match node
                .children()
                .find(|child| self.index < child.entry().next)
            {
                Some(child) => node = child,
                None => break,
            }
        }
        found
    }

    /// Child elements and what stands between them, in order; no empty text.
    fn for_each_part(self, mut visit: impl FnMut(Part<'a>)) {
        let entry = self.entry();
        let mut at = entry.inner as usize;
        let mut text_up_to = |end: u32, next: u32, visit: &mut dyn FnMut(Part<'a>)| {
            let text = text::content(&self.view.raw[at..end as usize]);
            if !text.is_empty() {
                visit(Part::Text(text));
            }
            at = next as usize;
        };
        for child in self.children() {
            let span = child.entry();
            text_up_to(span.start, span.end, &mut visit);
            visit(Part::Child(child));
        }
        text_up_to(entry.inner_end, entry.inner_end, &mut visit);
    }
}

/// What an element is made of.
enum Part<'a> {
    Text(Cow<'a, str>),
    Child(Node<'a>),
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({{{}}}{})", self.ns(), self.name())
    }
}
