//! The rules of a reservation, without any I/O: which move is legal in which state, and what a list of
//! lines means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use service_kit::problem::{Checks, Problem};

/// The most lines one reservation may name, after lines of the same SKU were summed.
pub const MAX_LINES: usize = 200;
/// The most units one line, or one adjustment, may move.
pub const MAX_QUANTITY: i64 = 1_000_000;
/// The longest a hold may be asked for, in seconds: one day.
pub const MAX_TTL_SECONDS: i64 = 86_400;

/// Where a reservation is in its life. Only `Held` ones still bind stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Stock is set aside until the hold lapses.
    Held,
    /// Sold: the stock left the shelf.
    Committed,
    /// Given back on request.
    Released,
    /// Given back because the hold lapsed.
    Expired,
    /// Sold, and put back on the shelf since: the order was undone, or cancelled before it was shipped.
    Returned,
}

impl Status {
    /// Every state, for listings and tests.
    pub const ALL: [Self; 5] = [Self::Held, Self::Committed, Self::Released, Self::Expired, Self::Returned];

    /// The name that is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Returned => "returned",
        }
    }

    /// Reads the stored name back; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What somebody wants to happen to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The order stands: take the stock off the shelf.
    Commit,
    /// The order fell through: give the stock back.
    Release,
    /// Payment takes longer: hold on.
    Extend,
    /// The sweeper came by.
    Expire,
    /// The order is off, however far it came: give the stock back, or put it on the shelf again.
    Cancel,
}

/// What an event leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go to this state, and move the stock that goes with it.
    Move(Status),
    /// Stay held, with a later end.
    Prolong,
    /// It already happened: answer as if it had happened now, and change nothing.
    Already,
    /// Not legal; the reservation stays as it is.
    Refuse(Refusal),
}

/// Why a reservation cannot do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The hold lapsed, whether or not the sweeper has seen it yet.
    Expired,
    /// It was given back (or its release came before it).
    Released,
    /// Any other illegal move.
    Conflict(Status),
}

/// The whole life of a reservation. `lapsed`: its hold has ended by the clock.
#[must_use]
pub const fn decide(status: Status, lapsed: bool, event: Event) -> Decision {
    use Decision::{Already, Move, Prolong, Refuse};
    match (status, event) {
        (Status::Held, Event::Commit | Event::Extend) if lapsed => Refuse(Refusal::Expired),
        (Status::Held, Event::Commit) => Move(Status::Committed),
        (Status::Held, Event::Extend) => Prolong,
        (Status::Held, Event::Release | Event::Cancel) => Move(Status::Released),
        (Status::Held, Event::Expire) if lapsed => Move(Status::Expired),
        (Status::Committed, Event::Cancel) => Move(Status::Returned),
        // Repeats, and a sweeper that comes by too early or too late.
        (_, Event::Expire | Event::Cancel)
        | (Status::Committed, Event::Commit)
        | (Status::Released | Status::Expired, Event::Release) => Already,
        (Status::Released, _) => Refuse(Refusal::Released),
        (Status::Expired, _) => Refuse(Refusal::Expired),
        (Status::Committed | Status::Returned, _) => Refuse(Refusal::Conflict(status)),
    }
}

/// So many units of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What is wanted.
    pub sku: String,
    /// How many units; at least 1.
    pub quantity: i64,
}

/// A line that the shelf cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shortage {
    /// The SKU.
    pub sku: String,
    /// Units asked for, over all lines of this SKU.
    pub wanted: i64,
    /// Units that are free; 0 for a SKU that inventory does not know.
    pub available: i64,
}

/// Sums the lines of each SKU and sorts them, so that two requests which touch the same rows always lock
/// them in the same order.
///
/// # Errors
/// 422 with every line that cannot be used, also for a list that is empty or too long.
pub fn sum_lines(lines: &[Line]) -> Result<Vec<Line>, Problem> {
    let mut checks = Checks::default();
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        check_name(&mut checks, &line.sku, &format!("lines[{at}].sku"));
        let sum = sums.entry(line.sku.as_str()).or_default();
        *sum = sum.saturating_add(line.quantity);
        let fits = line.quantity >= 1 && *sum <= MAX_QUANTITY;
        let message = format!("Order between 1 and {MAX_QUANTITY} units of a SKU, over all its lines.");
        checks.require(fits, &format!("lines[{at}].quantity"), "out_of_range", &message);
    }
    let message = format!("Name between 1 and {MAX_LINES} SKUs.");
    checks.require((1..=MAX_LINES).contains(&sums.len()), "lines", "length", &message);
    checks.finish()?;
    Ok(sums.into_iter().map(|(sku, quantity)| Line { sku: sku.to_owned(), quantity }).collect())
}

/// Notes an error unless `name` can be a SKU or a reservation key: 1 to 128 visible ASCII characters, none of
/// them a slash, so that it fits a path segment.
pub fn check_name(checks: &mut Checks, name: &str, field: &str) {
    let fits = (1..=128).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    checks.require(fits && plain, field, "format", "Use 1 to 128 visible ASCII characters without a slash.");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table: each state, before and after its hold lapsed, with each event.
    #[test]
    fn every_state_and_event() {
        use Decision::{Already, Move, Prolong, Refuse};
        use Event::{Cancel, Commit, Expire, Extend, Release};
        use Refusal::{Conflict, Expired as Lapsed, Released as GivenBack};
        use Status::{Committed, Expired, Held, Released, Returned};
        let clash = |status| Refuse(Conflict(status));
        let events = [Commit, Release, Extend, Expire, Cancel];
        let table = [
            (Held, false, [Move(Committed), Move(Released), Prolong, Already, Move(Released)]),
            (Held, true, [Refuse(Lapsed), Move(Released), Refuse(Lapsed), Move(Expired), Move(Released)]),
            (Committed, false, [Already, clash(Committed), clash(Committed), Already, Move(Returned)]),
            (Committed, true, [Already, clash(Committed), clash(Committed), Already, Move(Returned)]),
            (Released, false, [Refuse(GivenBack), Already, Refuse(GivenBack), Already, Already]),
            (Released, true, [Refuse(GivenBack), Already, Refuse(GivenBack), Already, Already]),
            (Expired, false, [Refuse(Lapsed), Already, Refuse(Lapsed), Already, Already]),
            (Expired, true, [Refuse(Lapsed), Already, Refuse(Lapsed), Already, Already]),
            (Returned, false, [clash(Returned), clash(Returned), clash(Returned), Already, Already]),
            (Returned, true, [clash(Returned), clash(Returned), clash(Returned), Already, Already]),
        ];
        assert_eq!(table.len(), 2 * Status::ALL.len());
        for (status, lapsed, expected) in table {
            for (event, decision) in events.into_iter().zip(expected) {
                assert_eq!(decide(status, lapsed, event), decision, "{status:?} lapsed={lapsed} {event:?}");
            }
        }
    }

    #[test]
    fn status_names_round_trip() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("lost"), None);
    }

    fn line(sku: &str, quantity: i64) -> Line {
        Line { sku: sku.to_owned(), quantity }
    }

    #[test]
    fn lines_of_one_sku_are_summed_and_sorted() {
        let summed = sum_lines(&[line("B", 2), line("A", 1), line("B", 3)]).unwrap();
        assert_eq!(summed, [line("A", 1), line("B", 5)]);
    }

    #[test]
    fn every_bad_line_is_named() {
        let fields = |lines: &[Line]| -> Vec<String> {
            sum_lines(lines).unwrap_err().errors().iter().map(|error| error.field.clone()).collect()
        };
        let bad = [line("A", 0), line("", 1), line("a/b", 1), line("C", MAX_QUANTITY), line("C", 1)];
        assert_eq!(fields(&bad), ["lines[0].quantity", "lines[1].sku", "lines[2].sku", "lines[4].quantity"]);
        assert_eq!(fields(&[line("A", i64::MAX), line("A", i64::MAX)]).len(), 2);
        assert_eq!(fields(&[]), ["lines"]);
    }
}
