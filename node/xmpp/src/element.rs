//! Element: an owned XML tree, for what we build ourselves and for payloads that handlers take apart.

use std::borrow::Cow;

/// A child of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Child {
    /// An element.
    Element(Element),
    /// Character data, unescaped.
    Text(String),
}

/// An element with its namespace resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: Cow<'static, str>,
    ns: Cow<'static, str>,
    attrs: Vec<(Cow<'static, str>, String)>,
    children: Vec<Child>,
}

impl Element {
    /// An empty element.
    pub fn new(name: impl Into<Cow<'static, str>>, ns: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            ns: ns.into(),
            attrs: Vec::new(),
            children: Vec::new(),
        }
    }
    /// Local name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Namespace.
    pub fn ns(&self) -> &str {
        &self.ns
    }
    /// Whether name and namespace are these.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }
    /// Builder: sets an attribute. `xml:lang` is written with that name.
    #[must_use]
    pub fn with_attr(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.set_attr(name, value);
        self
    }
    /// Builder: sets an attribute if there is a value.
    #[must_use]
    pub fn with_attr_opt(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: Option<impl Into<String>>,
    ) -> Self {
        if let Some(value) = value {
            self.set_attr(name, value);
        }
        self
    }
    /// Builder: appends a child.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.push(child);
        self
    }
    /// Builder: appends children.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children
            .extend(children.into_iter().map(Child::Element));
        self
    }
    /// Builder: appends text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Child::Text(text.into()));
        self
    }
    /// Sets (or replaces) an attribute.
    pub fn set_attr(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let _ = (name.into(), value.into());
        todo!()
    }
    /// Removes an attribute.
    pub fn remove_attr(&mut self, name: &str) {
        self.attrs.retain(|(n, _)| n != name);
    }
    /// An attribute's value.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
    /// All attributes in order.
    pub fn attrs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attrs.iter().map(|(n, v)| (n.as_ref(), v.as_str()))
    }
    /// Appends a child.
    pub fn push(&mut self, child: Element) {
        self.children.push(Child::Element(child));
    }
    /// Child elements.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|c| match c {
            Child::Element(e) => Some(e),
            Child::Text(_) => None,
        })
    }
    /// All children with text between.
    pub fn nodes(&self) -> &[Child] {
        &self.children
    }
    /// Takes the children out.
    pub fn into_children(self) -> impl Iterator<Item = Element> {
        self.children.into_iter().filter_map(|c| match c {
            Child::Element(e) => Some(e),
            Child::Text(_) => None,
        })
    }
    /// First child of this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.children().find(|c| c.is(name, ns))
    }
    /// Keeps only child elements that pass (text stays).
    pub fn retain_children(&mut self, mut keep: impl FnMut(&Element) -> bool) {
        self.children.retain(|c| match c {
            Child::Element(e) => keep(e),
            Child::Text(_) => true,
        });
    }
    /// The element's own character data, joined.
    pub fn text(&self) -> String {
        todo!()
    }
    /// Text of the first child of this name in this element's namespace.
    pub fn child_text(&self, name: &str) -> Option<String> {
        self.child(name, &self.ns).map(Element::text)
    }
    /// Serialises; `xmlns` is written where it differs from `parent_ns` (pass `ns::CLIENT` on a client stream).
    pub fn write_to(&self, out: &mut Vec<u8>, parent_ns: &str) {
        let _ = (out, parent_ns);
        todo!()
    }
    /// Serialised with `parent_ns` as the default namespace already in scope.
    pub fn to_bytes(&self, parent_ns: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write_to(&mut out, parent_ns);
        out
    }
    /// Parses one complete element, `default_ns` being in scope.
    pub fn parse(bytes: &[u8], default_ns: &str) -> Result<Self, crate::codec::ParseError> {
        let _ = (bytes, default_ns);
        todo!()
    }
}

/// Appends `text` with `& < > " '` escaped (attribute values and character data alike).
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    let _ = (out, text);
    todo!()
}
