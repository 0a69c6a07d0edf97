//! Where a schema stands: what it is called in a sentence, and who sends it.

use std::rc::Rc;

use crate::files::At;
use crate::openapi::Api;
use crate::report::Place;
use crate::rules::{Effect, Facet, Severity, Side};

/// What a schema is the schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    Body,
    Parameter,
    Header,
}

/// A place in an operation at which a value stands.
#[derive(Debug, Clone)]
pub struct Spot {
    pub base: Base,
    pub side: Side,
    /// `the request body`, `the query parameter `limit``, `the body of response 200`.
    pub name: Rc<str>,
    /// From there to the value, the last step first: `.items[].id` from its end.
    path: Option<Rc<Step>>,
    /// How many steps those are.
    pub depth: usize,
    /// Values are written as text, without their types.
    pub text: bool,
    /// Only what is written counts, not the types that it was read as before.
    pub loose: bool,
    /// Written as XML.
    pub xml: bool,
    /// It is not sent this way at all (`readOnly`, `writeOnly`), so nothing about it matters.
    pub guarded: bool,
    /// Inside of `not`: what allows less inside allows more outside.
    pub negated: bool,
    /// Where the whole begins, in both documents.
    pub outer: (Option<At>, Option<At>),
}

/// All of a spot that what is found can depend on: not the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpotKind {
    base: Base,
    side: Side,
    text: bool,
    loose: bool,
    xml: bool,
    guarded: bool,
    negated: bool,
}

/// The way to a value. It is put together as text only where something is told: most of what stands within is passed by.
#[derive(Debug)]
struct Step {
    outer: Option<Rc<Step>>,
    text: Rc<str>,
}

impl Spot {
    pub fn kind(&self) -> SpotKind {
        // Destructured, so that a new field has to be thought about here.
        let Self { base, side, name: _, path: _, depth: _, text, loose, xml, guarded, negated, outer: _ } =
            *self;
        SpotKind { base, side, text, loose, xml, guarded, negated }
    }

    fn of(side: Side, name: String, outer: (Option<At>, Option<At>)) -> Self {
        Self {
            base: Base::Body,
            side,
            name: name.into(),
            path: None,
            depth: 0,
            text: false,
            loose: false,
            xml: false,
            guarded: false,
            negated: false,
            outer,
        }
    }

    pub fn body(side: Side, name: String, text: bool, xml: bool, outer: (At, At)) -> Self {
        Self { text, xml, ..Self::of(side, name, (Some(outer.0), Some(outer.1))) }
    }

    /// For a question whose answer nobody sees: may what was sent still be sent?
    pub fn probe() -> Self {
        Self::of(Side::Sent, String::new(), (None, None))
    }

    pub fn parameter(side: Side, name: String, text: bool, outer: (At, At)) -> Self {
        Self { base: Base::Parameter, ..Self::body(side, name, text, false, outer) }
    }

    pub fn header(side: Side, name: String, outer: (At, At)) -> Self {
        Self { base: Base::Header, ..Self::body(side, name, true, false, outer) }
    }

    /// Further inside.
    pub fn inner(&self, step: impl Into<Rc<str>>) -> Self {
        let path = Some(Rc::new(Step { outer: self.path.clone(), text: step.into() }));
        Self { path, depth: self.depth + 1, ..self.clone() }
    }

    /// Inside of `not`.
    pub fn negation(&self) -> Self {
        Self { side: self.side.flipped(), negated: !self.negated, ..self.inner("(not)") }
    }

    pub fn is_whole(&self) -> bool {
        self.path.is_none()
    }

    /// Who sends the value itself, `not` left out.
    fn sender(&self) -> Side {
        if self.negated { self.side.flipped() } else { self.side }
    }

    /// The first part of a rule's id.
    pub fn prefix(&self) -> &'static str {
        match (self.sender(), self.base, self.is_whole()) {
            (Side::Sent, Base::Body, true) => "request-body",
            (Side::Sent, Base::Body, false) => "request-property",
            (Side::Sent, Base::Parameter | Base::Header, true) => "request-parameter",
            (Side::Sent, Base::Parameter | Base::Header, false) => "request-parameter-property",
            (Side::Received, Base::Body, true) => "response-body",
            (Side::Received, Base::Body, false) => "response-property",
            (Side::Received, Base::Parameter | Base::Header, true) => "response-header",
            (Side::Received, Base::Parameter | Base::Header, false) => "response-header-property",
        }
    }

    pub fn subject(&self) -> String {
        if self.is_whole() { self.name.to_string() } else { format!("`{}` of {}", self.shown(), self.name) }
    }

    /// `request body` and the way from there, for programs.
    pub fn location(&self) -> String {
        let name = self.name.strip_prefix("the ").unwrap_or(&self.name);
        if self.is_whole() { name.to_owned() } else { format!("{name}: {}", self.shown()) }
    }

    fn shown(&self) -> String {
        let steps = std::iter::successors(self.path.as_deref(), |step| step.outer.as_deref());
        let mut steps: Vec<&str> = steps.map(|step| &*step.text).collect();
        steps.reverse();
        if let Some(first) = steps.first_mut() {
            *first = first.strip_prefix('.').unwrap_or(first);
        }
        steps.concat()
    }

    /// What a facet means here.
    pub fn severity(&self, facet: &Facet) -> Severity {
        if self.guarded {
            return Severity::Safe;
        }
        // The one thing that is not told about the text of a parameter is how its inside is written.
        let inside = self.base == Base::Parameter && !self.is_whole() && self.text;
        if inside && facet.effect == Effect::Incomparable && facet.name == "type-changed" {
            return Severity::Unknown;
        }
        facet.severity(self.side)
    }

    pub fn outer_old(&self, api: &Api) -> Option<Place> {
        self.outer.0.map(|at| api.docs.place(at))
    }

    pub fn outer_new(&self, api: &Api) -> Option<Place> {
        self.outer.1.map(|at| api.docs.place(at))
    }
}
