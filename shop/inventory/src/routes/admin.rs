//! What administrators may do: change what lies on the shelf, and read the ledger and the reservations.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use serde::{Deserialize, Serialize};
use service_kit::auth::Admin;
use service_kit::clock::{new_id, now_ms};
use service_kit::db::Tx;
use service_kit::extract::{Json, Query};
use service_kit::idempotency::{Idempotency, Once, Reply};
use service_kit::page::{Limit, Page, PageRequest};
use service_kit::problem::{Checks, Problem};

use super::Shared;
use super::internal::{ReservationQuery, reservation_page};
use super::view::{MovementView, ReservationView, insufficient_stock};
use crate::domain::{MAX_QUANTITY, check_name};
use crate::store::{self, COMMIT, INITIAL, Movement, MovementPage, RETURN, Stock};

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/inventory/adjustments", post(adjust))
        .route("/api/inventory/movements", get(movements))
        .route("/api/inventory/reservations", get(reservations))
}

/// A signed change of what lies on the shelf.
#[derive(Debug, Deserialize, Serialize)]
struct Adjustment {
    sku: String,
    delta: i64,
    reason: String,
}

impl Adjustment {
    fn check(&self) -> Result<(), Problem> {
        let mut checks = Checks::default();
        check_name(&mut checks, &self.sku, "sku");
        let fits = self.delta != 0 && (-MAX_QUANTITY..=MAX_QUANTITY).contains(&self.delta);
        let message = format!("Use a whole number from -{MAX_QUANTITY} to {MAX_QUANTITY}, not 0.");
        checks.require(fits, "delta", "out_of_range", &message);
        checks.text(self.reason.trim(), "reason", 1, 200);
        let own = [INITIAL, COMMIT, RETURN].contains(&self.reason.trim());
        checks.require(!own, "reason", "reserved", "The service itself uses this word; say it in others.");
        checks.finish()
    }
}

/// An adjustment that was made, and what it led to.
#[derive(Serialize)]
struct Adjusted {
    #[serde(flatten)]
    movement: MovementView,
    stock: Stock,
}

async fn adjust(
    State(shared): State<Shared>,
    Admin(admin): Admin,
    key: Idempotency,
    Json(wanted): Json<Adjustment>,
) -> Result<Reply, Problem> {
    wanted.check()?;
    let movement = Movement {
        id: new_id(),
        sku: wanted.sku.clone(),
        delta: wanted.delta,
        reason: wanted.reason.trim().to_owned(),
        actor: admin.id.clone(),
        reference: None,
        created_at: now_ms(),
    };
    let mut first = match key.once(&shared.db, &admin.id, &wanted).await? {
        Once::Replay(reply) => return Ok(reply),
        Once::First(first) => first,
    };
    let outcome = apply(first.tx(), movement).await;
    first.settle(outcome).await
}

async fn apply(tx: &mut Tx, movement: Movement) -> Result<Reply, Problem> {
    let adjusted = store::adjust(tx, &movement).await?;
    let stock = adjusted.map_err(|shortage| insufficient_stock(&[shortage]))?;
    Reply::created(&Adjusted { movement: movement.into(), stock })
}

#[derive(Deserialize)]
struct MovementQuery {
    sku: Option<String>,
    cursor: Option<String>,
    limit: Option<Limit>,
}

async fn movements(
    State(shared): State<Shared>,
    _: Admin,
    Query(query): Query<MovementQuery>,
) -> Result<Body<Page<MovementView>>, Problem> {
    let request =
        PageRequest::<String>::new(&("movements", &query.sku), query.limit, query.cursor.as_deref())?;
    let page = MovementPage { sku: query.sku, before: request.after.clone(), limit: request.fetch() };
    let mut conn = shared.db.pool().acquire().await?;
    let rows = store::movements(&mut conn, &page).await?;
    Ok(Body(request.page(rows, |movement| movement.id.clone()).map(MovementView::from)))
}

async fn reservations(
    State(shared): State<Shared>,
    _: Admin,
    Query(query): Query<ReservationQuery>,
) -> Result<Body<Page<ReservationView>>, Problem> {
    reservation_page(&shared.db, &query).await.map(Body)
}
