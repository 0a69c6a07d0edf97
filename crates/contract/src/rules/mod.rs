//! What may change, and what each change means for consumers.
//!
//! A consumer is whoever calls an operation, or receives a webhook. What it *sends* may not be refused where it was
//! accepted before; what it *receives* may not be something that was not announced before. So a change is judged by
//! what it does to the set of valid values and by who sends them:
//!
//! | effect | sent by the consumer | received by the consumer |
//! |---|---|---|
//! | allows less | breaking | safe |
//! | allows more | safe | breaking |
//! | allows other values | breaking | breaking |
//! | cannot be decided | unknown | unknown |
//! | none | safe | safe |
//!
//! The same law is stated by oasdiff (from 1.30 on) for its checks. [`Facet`]s follow it, with few exceptions, each with its
//! reason; [`Rule`]s are about whole operations.

/// Declares rules: the constant, the id, what it means, what it is about, why, and what to do.
macro_rules! rules {
    ($about:literal $module:ident
        $($const:ident $id:literal $severity:ident $kind:ident $why:literal, $fix:literal;)*) => {
        #[doc = $about]
        pub mod $module {
            use crate::rules::{Kind, Rule, Severity};
            $(#[doc = $why] pub static $const: Rule = Rule {
                id: $id, severity: Severity::$severity, kind: Kind::$kind, why: $why, fix: $fix,
            };)*
            /// All of them.
            pub static ALL: &[&Rule] = &[$(&$const),*];
        }
    };
}

mod facets;
mod operations;
mod page;
mod protobuf;

pub use facets::{BoundFacets, bound_facets, facet};
pub use operations::rule;
pub use page::page;
pub use protobuf::proto;

use serde::Serialize;

/// What a change means for a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Every consumer that keeps to the old contract can go on.
    Safe,
    /// Consumers that keep to the old contract can go on, but some that rely on more than it promises may not.
    Warning,
    /// The documents do not say enough to decide. It is refused like what is breaking.
    Unknown,
    /// A consumer that keeps to the old contract can stop working.
    Breaking,
}

impl Severity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Breaking => "breaking",
        }
    }
}

/// Who sends what has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The consumer.
    Sent,
    /// The service.
    Received,
}

impl Side {
    /// The other one.
    pub fn flipped(self) -> Self {
        match self {
            Self::Sent => Self::Received,
            Self::Received => Self::Sent,
        }
    }
}

/// What a change does to the set of valid values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// More is valid.
    Widens,
    /// Less is valid.
    Narrows,
    /// Other values are valid.
    Incomparable,
    /// It cannot be told.
    Undecided,
    /// None.
    Nothing,
}

impl Effect {
    /// What the law says.
    pub fn severity(self, side: Side) -> Severity {
        match (self, side) {
            (Self::Nothing, _) | (Self::Widens, Side::Sent) | (Self::Narrows, Side::Received) => {
                Severity::Safe
            }
            (Self::Undecided, _) => Severity::Unknown,
            _ => Severity::Breaking,
        }
    }

    /// In a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Widens => "allows more",
            Self::Narrows => "allows less",
            Self::Incomparable => "allows other values",
            Self::Undecided => "cannot be decided",
            Self::Nothing => "none",
        }
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What is sent and received.
    Wire,
    /// Names that never are on the wire, but that others refer to an operation by.
    Identity,
    /// What is announced of the future.
    Lifecycle,
}

/// A rule about a value: a schema, wherever it stands.
#[derive(Debug)]
pub struct Facet {
    /// The last part of the rule's id: before it stands the place, as in `request-property-max-length-decreased`.
    pub name: &'static str,
    /// What it does.
    pub effect: Effect,
    /// Where the law is not followed for what consumers send.
    pub sent: Option<Severity>,
    /// Where the law is not followed for what consumers receive.
    pub received: Option<Severity>,
    /// What it is and why.
    pub why: &'static str,
    /// How to do it without breaking anybody.
    pub fix: &'static str,
}

impl Facet {
    /// What it means where the value is of this side.
    pub fn severity(&self, side: Side) -> Severity {
        let exception = match side {
            Side::Sent => self.sent,
            Side::Received => self.received,
        };
        exception.unwrap_or_else(|| self.effect.severity(side))
    }
}

/// A rule about an operation, or what belongs to it.
#[derive(Debug)]
pub struct Rule {
    /// Its id.
    pub id: &'static str,
    /// What it means.
    pub severity: Severity,
    /// What it is about.
    pub kind: Kind,
    /// What it is and why.
    pub why: &'static str,
    /// How to do it without breaking anybody.
    pub fix: &'static str,
}
