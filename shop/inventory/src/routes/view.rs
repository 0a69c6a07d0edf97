//! How things look outside, and how refusals are told.

use serde::Serialize;
use service_kit::clock::rfc3339;
use service_kit::problem::Problem;

use crate::domain::{Line, Refusal, Shortage, Status};
use crate::store::{Movement, Reservation};

/// A reservation as it is sent.
#[derive(Debug, Serialize)]
pub struct ReservationView {
    key: String,
    status: Status,
    lines: Vec<Line>,
    expires_at: String,
}

impl From<Reservation> for ReservationView {
    fn from(from: Reservation) -> Self {
        let expires_at = rfc3339(from.expires_at);
        Self { key: from.key, status: from.status, lines: from.lines, expires_at }
    }
}

/// A movement as it is sent.
#[derive(Debug, Serialize)]
pub struct MovementView {
    #[serde(flatten)]
    movement: Movement,
    created_at: String,
}

impl From<Movement> for MovementView {
    fn from(movement: Movement) -> Self {
        Self { created_at: rfc3339(movement.created_at), movement }
    }
}

/// 409 with every line that cannot be served.
pub fn insufficient_stock(shortages: &[Shortage]) -> Problem {
    let detail = "There is not enough stock for this; the shortages say what is missing.";
    Problem::conflict("insufficient_stock", detail).with("shortages", shortages)
}

/// 409 with the reason why a reservation cannot do what was asked.
pub fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Expired => Problem::conflict(
            "reservation_expired",
            "The hold lapsed and its units were given back. Reserve again under a new key.",
        ),
        Refusal::Released => Problem::conflict(
            "reservation_released",
            "The reservation was released. Reserve again under a new key.",
        ),
        Refusal::Conflict(status) => {
            let detail = format!("A reservation that is {} cannot do that.", status.as_str());
            Problem::state_conflict(status.as_str(), detail)
        }
    }
}

/// 404 for a reservation that was never made.
pub fn no_reservation() -> Problem {
    Problem::not_found("There is no reservation with this key.")
}
