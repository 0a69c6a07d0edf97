//! Which operation of a service's contract a request is for, and how often each was called.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::Method;
use model::Operation;

use crate::link::OperationCounts;
use crate::records::add;
use crate::worker::Moment;

/// How a request ended: nobody waited for the answer, or its status began with 2 (or 1), 3, 4, 5.
pub(crate) const ENDS: usize = 5;

/// The operations of a service, to be found by method and path.
#[derive(Debug)]
pub(crate) struct Operations {
    declared: Vec<Operation>,
    root: Node,
}

/// What is known of all paths that begin alike: a trie with a level for each segment.
#[derive(Debug, Default)]
struct Node {
    /// The operations of the path that ends here: index in `declared`.
    here: Vec<(Method, usize)>,
    fixed: Vec<(Box<str>, Node)>,
    /// Segments that a parameter is a part of, or the whole, with the text before and after it. The longest text first.
    open: Vec<(Box<str>, Box<str>, Node)>,
}

impl Operations {
    pub(crate) fn new(declared: &[Operation]) -> Self {
        let mut root = Node::default();
        for (index, operation) in declared.iter().enumerate() {
            // A method that HTTP does not know is one that no request has.
            if let Ok(method) = operation.method.parse() {
                root.insert(segments(&operation.path), method, index);
            }
        }
        Self { declared: declared.to_vec(), root }
    }

    /// All of them; the place of one is its number.
    pub(crate) fn all(&self) -> &[Operation] {
        &self.declared
    }

    pub(crate) fn is_of(&self, declared: &[Operation]) -> bool {
        self.declared == declared
    }

    /// The operation that a request is for; without the query. Looks at each node once at most, and allocates nothing.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Option<usize> {
        self.root.find(segments(path), method)
    }
}

fn segments(path: &str) -> std::str::Split<'_, char> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

impl Node {
    fn insert(&mut self, mut rest: std::str::Split<'_, char>, method: Method, index: usize) {
        let Some(segment) = rest.next() else {
            self.here.push((method, index));
            return;
        };
        let next = match parameter(segment) {
            None => {
                entry(&mut self.fixed, |(text, _)| **text == *segment, || (segment.into(), Self::default()))
            }
            Some((before, after)) => {
                let known = self.open.iter().position(|(b, a, _)| (&**b, &**a) == (before, after));
                let at = known.unwrap_or_else(|| {
                    let length = |b: &str, a: &str| b.len() + a.len();
                    let longer =
                        |(b, a, _): &(Box<str>, Box<str>, Self)| length(b, a) >= length(before, after);
                    let at = self.open.partition_point(longer);
                    self.open.insert(at, (before.into(), after.into(), Self::default()));
                    at
                });
                &mut self.open[at].2
            }
        };
        next.insert(rest, method, index);
    }

    /// A segment that is written out goes before one with a parameter (OpenAPI 3.1, "Path Templating Matching").
    fn find(&self, mut rest: std::str::Split<'_, char>, method: &Method) -> Option<usize> {
        let Some(segment) = rest.next() else {
            return self.here.iter().find(|(known, _)| known == method).map(|(_, index)| *index);
        };
        let fixed = self.fixed.iter().filter(|(text, _)| **text == *segment).map(|(_, node)| node);
        let fits = |before: &str, after: &str| {
            segment.len() > before.len() + after.len()
                && segment.starts_with(before)
                && segment.ends_with(after)
        };
        let open = self.open.iter().filter(|(b, a, _)| fits(b, a)).map(|(_, _, node)| node);
        fixed.chain(open).find_map(|node| node.find(rest.clone(), method))
    }
}

fn entry(
    list: &mut Vec<(Box<str>, Node)>,
    is: impl Fn(&(Box<str>, Node)) -> bool,
    new: impl FnOnce() -> (Box<str>, Node),
) -> &mut Node {
    let at = list.iter().position(is).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    });
    &mut list[at].1
}

/// The text around the parameters of a segment, if it has any. What is between two of them may be anything.
fn parameter(segment: &str) -> Option<(&str, &str)> {
    let (begin, end) = (segment.find('{')?, segment.rfind('}')?);
    (begin < end).then(|| (&segment[..begin], &segment[end + 1..]))
}

/// The calls of one listener to the operations of one service. What no operation fits is counted in a row of its own.
#[derive(Debug)]
pub(crate) struct Usage {
    pub operations: Arc<Operations>,
    /// A row of [`ENDS`] for each operation and one more, for each worker.
    workers: Box<[Box<[AtomicU64]>]>,
    /// The second in which one of each was last chosen for a trace, for each worker.
    chosen: Box<[Box<[AtomicU64]>]>,
}

impl Usage {
    pub(crate) fn new(operations: Arc<Operations>, workers: usize) -> Self {
        let rows = operations.declared.len() + 1;
        let of_each = |length: usize| {
            let one = || (0..length).map(|_| AtomicU64::new(0)).collect();
            (0..workers.max(1)).map(|_| one()).collect()
        };
        Self { operations, workers: of_each(rows * ENDS), chosen: of_each(rows) }
    }

    /// Whether a request is the first of its operation in this second: one of each is worth a trace, however many others there are.
    pub(crate) fn is_first(&self, moment: Moment, operation: Option<usize>) -> bool {
        let row = operation.unwrap_or(self.operations.declared.len());
        let chosen = &self.chosen[moment.worker % self.chosen.len()][row];
        // The clock begins with 0, which is for none.
        let second = moment.now / 1000 + 1;
        // Only its own worker writes there.
        let first = chosen.load(Relaxed) != second;
        if first {
            chosen.store(second, Relaxed);
        }
        first
    }

    /// A request to what [`Operations::find`] gave has ended.
    pub(crate) fn count(&self, worker: usize, operation: Option<usize>, end: usize) {
        let row = operation.unwrap_or(self.operations.declared.len());
        add(&self.workers[worker % self.workers.len()][row * ENDS + end]);
    }

    /// Everything that was called.
    pub(crate) fn counts(&self) -> Vec<OperationCounts> {
        let names = self.operations.declared.iter().map(|o| Some(o.name.clone())).chain([None]);
        let all = names.enumerate().map(|(row, name)| {
            let sum =
                |end: usize| self.workers.iter().map(|counts| counts[row * ENDS + end].load(Relaxed)).sum();
            OperationCounts { name, ends: std::array::from_fn(sum) }
        });
        all.filter(|row| row.ends.iter().any(|count| *count > 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(keys: &[&str]) -> Operations {
        let declared = keys.iter().map(|key| {
            let (method, path) = key.split_once(' ').unwrap();
            Operation { method: method.to_owned(), path: path.to_owned(), name: (*key).to_owned() }
        });
        Operations::new(&declared.collect::<Vec<_>>())
    }

    fn found(operations: &Operations, method: &str, path: &str) -> Option<String> {
        let index = operations.find(&method.parse().unwrap(), path)?;
        Some(operations.declared[index].name.clone())
    }

    #[test]
    fn a_request_is_for_the_most_particular_path() {
        let known = operations(&[
            "GET /",
            "GET /items/{id}",
            "GET /items/mine",
            "DELETE /items/{id}",
            "GET /items/{id}/notes/{note}",
            "GET /{kind}/{id}/notes",
            "GET /files/{name}.json",
            "GET /files/{name}",
            "POST /jobs/{id}:cancel",
            "POST /shop.Stock/Reserve",
        ]);
        for (method, path, expected) in [
            ("GET", "/", Some("GET /")),
            ("GET", "/items/mine", Some("GET /items/mine")),
            ("GET", "/items/7", Some("GET /items/{id}")),
            // The path that is written out has no such method.
            ("DELETE", "/items/mine", Some("DELETE /items/{id}")),
            ("GET", "/items/7/notes/2", Some("GET /items/{id}/notes/{note}")),
            // The way by `items` leads nowhere.
            ("GET", "/items/7/notes", Some("GET /{kind}/{id}/notes")),
            ("GET", "/files/a.json", Some("GET /files/{name}.json")),
            ("GET", "/files/a.txt", Some("GET /files/{name}")),
            ("POST", "/jobs/7:cancel", Some("POST /jobs/{id}:cancel")),
            ("POST", "/shop.Stock/Reserve", Some("POST /shop.Stock/Reserve")),
            ("POST", "/items/7", None),
            ("GET", "/items/", None),
            ("GET", "/items/7/", None),
            ("GET", "/items", None),
            ("GET", "*", None),
        ] {
            assert_eq!(found(&known, method, path).as_deref(), expected, "{method} {path}");
        }
    }

    #[test]
    fn counts_are_by_operation_and_end_and_add_up_over_workers() {
        let usage = Usage::new(Arc::new(operations(&["GET /a", "GET /b"])), 2);
        usage.count(0, Some(1), 1);
        usage.count(1, Some(1), 1);
        usage.count(1, Some(1), 4);
        usage.count(0, None, 3);
        let row = |name: Option<&str>, ends| OperationCounts { name: name.map(str::to_owned), ends };
        assert_eq!(usage.counts(), [row(Some("GET /b"), [0, 2, 0, 0, 1]), row(None, [0, 0, 0, 1, 0])]);
    }

    #[test]
    fn one_of_each_operation_in_a_second_is_the_first() {
        let usage = Usage::new(Arc::new(operations(&["GET /a", "GET /b"])), 2);
        let first = |worker, now, operation| usage.is_first(Moment { worker, now }, operation);
        assert_eq!(
            [0, 0, 999, 1000, 1999].map(|now| first(0, now, Some(0))),
            [true, false, false, true, false]
        );
        assert_eq!([Some(1), Some(1), None, None].map(|of| first(0, 1500, of)), [true, false, true, false]);
        assert!(first(1, 1500, Some(0)), "each worker counts by itself");
    }

    proptest::proptest! {
        #[test]
        fn every_request_that_a_template_makes_is_found(
            paths in proptest::collection::vec(
                proptest::collection::vec(proptest::prop_oneof!["[ab]", proptest::strategy::Just("{x}".to_owned())], 1..4),
                1..8,
            ),
            value in "[abc]{1,2}",
        ) {
            let keys: Vec<String> = paths.iter().map(|segments| format!("GET /{}", segments.join("/"))).collect();
            let known = operations(&keys.iter().map(String::as_str).collect::<Vec<_>>());
            for key in &keys {
                let path = key.strip_prefix("GET ").unwrap().replace("{x}", &value);
                let found = found(&known, "GET", &path).unwrap();
                // What is found makes this path too.
                let mut fits = found.strip_prefix("GET /").unwrap().split('/').zip(path[1..].split('/'));
                let fits = fits.all(|(template, text)| template == "{x}" || template == text);
                proptest::prop_assert!(fits, "{} for {}", found, path);
            }
        }
    }
}
