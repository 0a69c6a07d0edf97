//! What the sagas of orders do: hold units, and end the hold one way or the other.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use serde::{Deserialize, Serialize};
use service_kit::auth::Caller;
use service_kit::clock::now_ms;
use service_kit::db::{Db, Tx};
use service_kit::extract::{Json, Path, Query};
use service_kit::idempotency::{Idempotency, Once, Reply};
use service_kit::page::{Limit, Page, PageRequest};
use service_kit::problem::{Checks, Problem};

use super::Shared;
use super::view::{ReservationView, insufficient_stock, no_reservation, refused};
use crate::domain::{Event, Line, MAX_TTL_SECONDS, Refusal, Status, check_name, sum_lines};
use crate::store::{self, Applied, Reservation, Reserved};

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/reservations", post(reserve).get(list))
        .route("/reservations/{key}", get(one))
        .route("/reservations/{key}/commit", post(commit))
        .route("/reservations/{key}/release", post(release))
        .route("/reservations/{key}/extend", post(extend))
        .route("/reservations/{key}/cancel", post(cancel))
}

#[derive(Debug, Deserialize, Serialize)]
struct Wanted {
    key: String,
    lines: Vec<Line>,
    ttl_seconds: Option<i64>,
}

async fn reserve(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Json(wanted): Json<Wanted>,
) -> Result<Reply, Problem> {
    let mut checks = Checks::default();
    check_name(&mut checks, &wanted.key, "key");
    let hold_ms = wanted.ttl_seconds.map_or(shared.hold_ms, |ttl| check_ttl(&mut checks, ttl));
    checks.finish()?;
    let lines = sum_lines(&wanted.lines)?;
    let mut first = match idempotency.once(&shared.db, &caller, &wanted).await? {
        Once::Replay(reply) => return Ok(reply),
        Once::First(first) => first,
    };
    let outcome = hold(first.tx(), &wanted.key, &lines, hold_ms).await;
    first.settle(outcome).await
}

async fn hold(tx: &mut Tx, key: &str, lines: &[Line], hold_ms: i64) -> Result<Reply, Problem> {
    let now = now_ms();
    match store::reserve(tx, key, lines, now.saturating_add(hold_ms), now).await? {
        Reserved::New(reservation) => Reply::created(&ReservationView::from(reservation)),
        Reserved::Existing(reservation) => Reply::ok(&ReservationView::from(reservation)),
        Reserved::Short(shortages) => Err(insufficient_stock(&shortages)),
        Reserved::Refused(refusal) => Err(refused(refusal)),
    }
}

async fn commit(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Path(key): Path<String>,
) -> Result<Reply, Problem> {
    end(&shared.db, &caller, &idempotency, &key, Event::Commit).await
}

async fn release(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Path(key): Path<String>,
) -> Result<Reply, Problem> {
    let mut checks = Checks::default();
    check_name(&mut checks, &key, "key");
    checks.finish()?;
    end(&shared.db, &caller, &idempotency, &key, Event::Release).await
}

/// What undoes a checkout, however far it came: its answer is the same in every state, since an undo is never refused.
async fn cancel(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Path(key): Path<String>,
) -> Result<Reply, Problem> {
    let mut checks = Checks::default();
    check_name(&mut checks, &key, "key");
    checks.finish()?;
    end(&shared.db, &caller, &idempotency, &key, Event::Cancel).await
}

/// Lets an event without a payload happen to a reservation, once for its idempotency key.
async fn end(
    db: &Db,
    caller: &str,
    idempotency: &Idempotency,
    key: &str,
    event: Event,
) -> Result<Reply, Problem> {
    let mut first = match idempotency.once(db, caller, &()).await? {
        Once::Replay(reply) => return Ok(reply),
        Once::First(first) => first,
    };
    let now = now_ms();
    let applied = match event {
        Event::Release | Event::Cancel => {
            store::apply_or_bury(first.tx(), key, event, caller, now).await.map(Some)
        }
        _ => store::apply(first.tx(), key, event, now, caller, now).await,
    };
    let outcome = applied.map_err(Problem::from).and_then(reply);
    first.settle(outcome).await
}

#[derive(Debug, Deserialize, Serialize)]
struct Extension {
    ttl_seconds: i64,
}

async fn extend(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Path(key): Path<String>,
    Json(wanted): Json<Extension>,
) -> Result<Reply, Problem> {
    let mut checks = Checks::default();
    let more_ms = check_ttl(&mut checks, wanted.ttl_seconds);
    checks.finish()?;
    let mut first = match idempotency.once(&shared.db, &caller, &wanted).await? {
        Once::Replay(reply) => return Ok(reply),
        Once::First(first) => first,
    };
    let now = now_ms();
    let until = now.saturating_add(more_ms);
    let applied = store::apply(first.tx(), &key, Event::Extend, until, &caller, now).await;
    let outcome = applied.map_err(Problem::from).and_then(reply);
    first.settle(outcome).await
}

/// The time to hold in milliseconds; notes an error for one that is too short or too long.
fn check_ttl(checks: &mut Checks, seconds: i64) -> i64 {
    let message = format!("Hold between 1 and {MAX_TTL_SECONDS} seconds.");
    checks.require((1..=MAX_TTL_SECONDS).contains(&seconds), "ttl_seconds", "out_of_range", &message);
    seconds.saturating_mul(1000)
}

fn reply(applied: Applied) -> Result<Reply, Problem> {
    let reservation: Result<Reservation, Refusal> = applied.ok_or_else(no_reservation)?;
    Reply::ok(&ReservationView::from(reservation.map_err(refused)?))
}

async fn one(
    State(shared): State<Shared>,
    Path(key): Path<String>,
) -> Result<Body<ReservationView>, Problem> {
    let mut conn = shared.db.pool().acquire().await?;
    let found = store::find(&mut conn, &key).await?;
    Ok(Body(found.ok_or_else(no_reservation)?.into()))
}

/// Which reservations to list.
#[derive(Debug, Deserialize)]
pub struct ReservationQuery {
    status: Option<Status>,
    cursor: Option<String>,
    limit: Option<Limit>,
}

async fn list(
    State(shared): State<Shared>,
    Query(query): Query<ReservationQuery>,
) -> Result<Body<Page<ReservationView>>, Problem> {
    reservation_page(&shared.db, &query).await.map(Body)
}

/// A page of reservations, by key.
pub async fn reservation_page(db: &Db, query: &ReservationQuery) -> Result<Page<ReservationView>, Problem> {
    let filter = ("reservations", query.status.map(Status::as_str));
    let request = PageRequest::<String>::new(&filter, query.limit, query.cursor.as_deref())?;
    let after = request.after.as_deref().unwrap_or_default();
    let mut conn = db.pool().acquire().await?;
    let rows = store::with_status(&mut conn, query.status, after, request.fetch()).await?;
    Ok(request.page(rows, |reservation| reservation.key.clone()).map(ReservationView::from))
}
