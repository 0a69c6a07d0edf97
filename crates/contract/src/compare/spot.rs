//! Where a schema stands: what it is called in a sentence, and who sends it.

use crate::files::At;
use crate::openapi::Api;
use crate::report::Place;
use crate::rules::{Effect, Facet, Severity, Side};

/// What a schema is the schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub name: String,
    /// From there to the value: `.items[].id`.
    pub path: String,
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

impl Spot {
    pub fn body(side: Side, name: String, text: bool, xml: bool, outer: (At, At)) -> Self {
        let outer = (Some(outer.0), Some(outer.1));
        Self {
            base: Base::Body,
            side,
            name,
            path: String::new(),
            depth: 0,
            text,
            loose: false,
            xml,
            guarded: false,
            negated: false,
            outer,
        }
    }

    pub fn parameter(side: Side, name: String, text: bool, outer: (At, At)) -> Self {
        Self { base: Base::Parameter, ..Self::body(side, name, text, false, outer) }
    }

    pub fn header(side: Side, name: String, outer: (At, At)) -> Self {
        Self { base: Base::Header, ..Self::body(side, name, true, false, outer) }
    }

    /// Further inside.
    pub fn inner(&self, step: &str) -> Self {
        Self { path: format!("{}{step}", self.path), depth: self.depth + 1, ..self.clone() }
    }

    /// Inside of `not`.
    pub fn negation(&self) -> Self {
        Self { side: self.side.flipped(), negated: !self.negated, ..self.inner("(not)") }
    }

    pub fn is_whole(&self) -> bool {
        self.path.is_empty()
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
        if self.is_whole() { self.name.clone() } else { format!("`{}` of {}", self.shown(), self.name) }
    }

    /// `request body` and the way from there, for programs.
    pub fn location(&self) -> String {
        let name = self.name.strip_prefix("the ").unwrap_or(&self.name);
        if self.is_whole() { name.to_owned() } else { format!("{name}: {}", self.shown()) }
    }

    fn shown(&self) -> &str {
        self.path.strip_prefix('.').unwrap_or(&self.path)
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
