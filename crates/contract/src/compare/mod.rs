//! What differs between two contracts.

mod body;
mod lifecycle;
mod objects;
mod operations;
mod parameters;
mod responses;
mod schema;
mod security;
mod spot;
mod unions;
mod values;

use std::cell::Cell;
use std::rc::Rc;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
pub use spot::{Spot, SpotKind};

use crate::Options;
use crate::files::At;
use crate::openapi::{Api, Operation};
use crate::report::{Change, OperationRef, Place};
use crate::rules::{Facet, Rule, Severity, Side, rule};
use crate::schema::{SchemaId, classes};

/// More changes than this are not listed.
const MAX_CHANGES: usize = 20_000;
/// Schemas are compared in no more steps than this.
const MAX_STEPS: usize = 4_000_000;

/// Compares two OpenAPI documents.
pub fn compare(old: &Api, new: &Api, options: &Options) -> Vec<Change> {
    let (old_classes, new_classes) = classes(&old.graph, &new.graph);
    let steps = Cell::new(0);
    let pair = Pair { old, new, old_classes: &old_classes, new_classes: &new_classes, steps: &steps };
    let mut comparer = Comparer {
        pair,
        options,
        operation: None,
        changes: Vec::new(),
        visited: HashSet::new(),
        dull: HashMap::new(),
        level: Level::default(),
        probing: false,
        softened: false,
    };
    comparer.apis();
    comparer.changes
}

/// Two contracts to be compared, in one direction or the other.
#[derive(Clone, Copy)]
struct Pair<'a> {
    old: &'a Api,
    new: &'a Api,
    old_classes: &'a [u64],
    new_classes: &'a [u64],
    steps: &'a Cell<usize>,
}

impl Pair<'_> {
    fn flipped(self) -> Self {
        Self {
            old: self.new,
            new: self.old,
            old_classes: self.new_classes,
            new_classes: self.old_classes,
            steps: self.steps,
        }
    }

    /// Whether two schemas say the same.
    fn same(&self, old: SchemaId, new: SchemaId) -> bool {
        self.old_classes[old.0 as usize] == self.new_classes[new.0 as usize]
    }
}

struct Comparer<'a> {
    pair: Pair<'a>,
    options: &'a Options,
    operation: Option<OperationRef>,
    changes: Vec<Change>,
    /// The schemas compared already, at this place of this operation.
    visited: HashSet<(SchemaId, SchemaId, Side)>,
    /// What is found where two schemas themselves, those within left out, differ in nothing that is told: only what is within.
    /// Many operations lead to the same schemas, and in most of those the change is further inside.
    dull: HashMap<(SchemaId, SchemaId, SpotKind), Rc<[Child]>>,
    /// The two schemas that are being compared.
    level: Level,
    /// Nobody reads what is found: only how bad it is counts.
    probing: bool,
    /// Nobody was to rely on the operation yet.
    softened: bool,
}

/// Two schemas within two others, and the step that leads to them.
type Child = (SchemaId, SchemaId, Rc<str>);

/// What was found at two schemas.
#[derive(Default)]
struct Level {
    /// Something was told of these two themselves.
    told: bool,
    /// What stands within and is not the same.
    children: Vec<Child>,
}

impl<'a> Comparer<'a> {
    fn before(&self) -> &'a Api {
        self.pair.old
    }

    fn after(&self) -> &'a Api {
        self.pair.new
    }

    fn enter(&mut self, operation: &Operation) {
        self.operation =
            Some(OperationRef { key: operation.key(), operation_id: operation.operation_id.clone() });
        self.softened = operation.lifecycle.is_loose();
    }

    fn leave(&mut self) {
        self.operation = None;
        self.softened = false;
    }

    /// Notes what a rule found.
    fn rule(&mut self, rule: &'static Rule, old: Option<Place>, new: Option<Place>, sentence: String) {
        self.push(Change {
            rule: rule.id.to_owned(),
            severity: rule.severity,
            kind: rule.kind,
            operation: self.operation.clone(),
            location: String::new(),
            place_old: old,
            place_new: new,
            sentence,
            hint: rule.fix.to_owned(),
        });
    }

    /// Notes what a facet found, at the places of a keyword in both schemas.
    fn facet(
        &mut self,
        facet: &'static Facet,
        at: &Spot,
        ids: (SchemaId, SchemaId),
        keys: &[&str],
        say: Say<'_>,
    ) {
        self.level.told = true;
        let severity = at.severity(facet);
        if self.probing {
            if severity > Severity::Warning {
                self.push(Change::probe(severity));
            }
            return;
        }
        let old = self.before().graph.get(ids.0);
        let new = self.after().graph.get(ids.1);
        let sentence = format!("{} {}", at.subject(), say.text());
        self.push(Change {
            rule: format!("{}-{}", at.prefix(), facet.name),
            severity,
            kind: crate::rules::Kind::Wire,
            operation: self.operation.clone(),
            location: at.location(),
            place_old: self.before().docs.place_in(&old.parts, keys).or_else(|| at.outer_old(self.before())),
            place_new: self.after().docs.place_in(&new.parts, keys).or_else(|| at.outer_new(self.after())),
            sentence,
            hint: facet.fix.to_owned(),
        });
    }

    fn push(&mut self, mut change: Change) {
        if self.softened && change.severity > Severity::Safe && change.kind == crate::rules::Kind::Wire {
            change.severity = Severity::Safe;
            change.hint =
                "nothing has to be done: nobody is to rely on a `draft` or `alpha` operation".to_owned();
        }
        match self.changes.len() {
            0..MAX_CHANGES => self.changes.push(change),
            MAX_CHANGES => self.changes.push(Change {
                rule: rule::TOO_MANY.id.to_owned(),
                severity: rule::TOO_MANY.severity,
                sentence: format!("there are more than {MAX_CHANGES} changes"),
                hint: rule::TOO_MANY.fix.to_owned(),
                operation: None,
                ..change
            }),
            _ => {}
        }
    }

    fn place_old(&self, at: At) -> Option<Place> {
        (!self.probing).then(|| self.before().docs.place(at))
    }

    fn place_new(&self, at: At) -> Option<Place> {
        (!self.probing).then(|| self.after().docs.place(at))
    }

    /// Compares two schemas that are the whole of a body, a parameter or a header.
    fn whole(&mut self, old: SchemaId, new: SchemaId, spot: &Spot) {
        self.visited.clear();
        self.schema(old, new, spot.clone());
    }
}

/// What is said of a change, made only when somebody reads it.
enum Say<'s> {
    Text(&'s str),
    With(&'s dyn Fn() -> String),
}

impl Say<'_> {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::With(make) => make(),
        }
    }
}
