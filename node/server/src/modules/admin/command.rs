//! Ad-hoc commands: what a command is, and the words of the protocol.
//!
//! Source: XEP-0050 v1.3 §2.4, §3.4, §4. A command is a function from the forms submitted so far to the next form or the
//! result, so a stage can be taken back without undoing anything: only the last stage acts.

use async_trait::async_trait;
use xmpp::{Element, StanzaError, StanzaErrorCondition as Condition, ns, payload::form::Form};

use crate::module::{Context, IqRequest};

/// A command.
#[async_trait]
pub trait Command: Send + Sync {
    /// Its node.
    fn node(&self) -> &'static str;
    /// For people.
    fn name(&self) -> &'static str;
    /// Whether it changes anything: then it is in the audit log before its last stage is done.
    fn changes(&self) -> bool {
        true
    }
    /// What comes after these forms, the oldest first.
    ///
    /// # Errors
    /// [`bad_payload`] for a form that lacks something; whatever the work meets.
    async fn step(&self, forms: &[Form], iq: &IqRequest, cx: &Context)
    -> Result<Step, StanzaError>;
}

/// What a command answers with.
pub enum Step {
    /// A form to be filled in.
    Form {
        /// The form.
        form: Form,
        /// After it the command is complete.
        last: bool,
    },
    /// It is complete.
    Done(Outcome),
}

impl Step {
    /// The only form of a command.
    pub fn only(form: Form) -> Self {
        Self::Form { form, last: true }
    }

    /// Complete, and this came out.
    pub fn result(payload: Element) -> Self {
        Self::Done(Outcome {
            payload: Some(payload),
            notes: Vec::new(),
        })
    }
}

/// What came out of a command.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The data.
    pub payload: Option<Element>,
    /// What people should know.
    pub notes: Vec<Note>,
}

impl Outcome {
    /// Whether all of it was done.
    pub fn is_complete(&self) -> bool {
        self.notes.iter().all(|note| note.severity != "error")
    }

    /// Something did not work; the rest did.
    pub fn fail(&mut self, text: impl Into<String>) {
        self.notes.push(Note {
            severity: "error",
            text: text.into(),
        });
    }

    /// Something worth knowing.
    pub fn inform(&mut self, text: impl Into<String>) {
        self.notes.push(Note {
            severity: "info",
            text: text.into(),
        });
    }
}

/// A remark (§4.3).
#[derive(Debug)]
pub struct Note {
    severity: &'static str,
    text: String,
}

/// What a client wants of a stage (§3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The stage's own.
    Execute,
    /// The stage before.
    Prev,
    /// The next stage.
    Next,
    /// The end.
    Complete,
    /// Nothing any more.
    Cancel,
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// Of which command.
    pub node: String,
    /// Of which execution; `None`: a new one.
    pub session: Option<String>,
    /// What is wanted.
    pub action: Action,
    /// What was filled in.
    pub form: Option<Form>,
}

impl Request {
    /// Reads `<command/>`.
    ///
    /// # Errors
    /// `bad-request`, with `malformed-action` for an action that is none.
    pub fn parse(command: &Element) -> Result<Self, StanzaError> {
        let node = command.attr("node").filter(|_| command.name() == "command");
        let node = node.ok_or(Condition::BadRequest)?.to_owned();
        let action = match command.attr("action") {
            None | Some("execute") => Action::Execute,
            Some("prev") => Action::Prev,
            Some("next") => Action::Next,
            Some("complete") => Action::Complete,
            Some("cancel") => Action::Cancel,
            Some(_) => return Err(error(Condition::BadRequest, "malformed-action")),
        };
        let session = command
            .attr("sessionid")
            .filter(|id| !id.is_empty())
            .map(Into::into);
        Ok(Self {
            node,
            session,
            action,
            form: Form::child_of(command)?,
        })
    }
}

/// An error of commands (§4.4).
pub fn error(condition: Condition, application: &'static str) -> StanzaError {
    StanzaError::from(condition).with_application(Element::new(application, ns::COMMANDS))
}

/// The form lacks something (§4.4).
pub fn bad_payload(text: &str) -> StanzaError {
    StanzaError::new(Condition::BadRequest, text)
        .with_application(Element::new("bad-payload", ns::COMMANDS))
}

fn command_element(node: &str, session: &str, status: &'static str) -> Element {
    Element::new("command", ns::COMMANDS)
        .with_attr("node", node)
        .with_attr("sessionid", session)
        .with_attr("status", status)
}

/// `<command status='canceled'/>`.
pub fn canceled_element(node: &str, session: &str) -> Element {
    command_element(node, session, "canceled")
}

/// The answer to a stage.
pub fn step_element(node: &str, session: &str, step: Step, first: bool) -> Element {
    let element = |name: &'static str| Element::new(name, ns::COMMANDS);
    match step {
        Step::Form { form, last } => {
            let forward = if last { "complete" } else { "next" };
            let prev = (!first).then(|| element("prev"));
            let actions = element("actions")
                .with_attr("execute", forward)
                .with_children(prev)
                .with_child(element(forward));
            command_element(node, session, "executing")
                .with_child(actions)
                .with_child(form.to_element())
        }
        Step::Done(outcome) => {
            let note = |note: Note| {
                element("note")
                    .with_attr("type", note.severity)
                    .with_text(note.text)
            };
            command_element(node, session, "completed")
                .with_children(outcome.notes.into_iter().map(note))
                .with_children(outcome.payload)
        }
    }
}
