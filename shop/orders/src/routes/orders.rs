//! Orders: a customer reads their own; an admin reads all, ships and delivers.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use service_kit::auth::{Admin, Customer};
use service_kit::etag::{IfMatch, Tagged};
use service_kit::extract::{Path, Query};
use service_kit::idempotency::{Idempotency, Once, Reply};
use service_kit::page::{Limit, Page, PageRequest};
use service_kit::problem::Problem;

use crate::domain::order::Status;
use crate::service::Service;
use crate::store::orders::{self, Filter, Order};
use crate::view::OrderView;

/// The query of `GET /api/orders`.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    limit: Option<Limit>,
    cursor: Option<String>,
    status: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Lists orders, newest first.
pub async fn list(
    State(service): State<Service>,
    customer: Customer,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<OrderView>>, Problem> {
    if query.all && !customer.is_admin() {
        return Err(Problem::forbidden("Only an admin may list every customer's orders."));
    }
    let status = query.status.as_deref().map(|name| {
        Status::parse(name)
            .ok_or_else(|| Problem::invalid("status", "unknown", "There is no such order status."))
    });
    let status = status.transpose()?;
    let customer_id = (!query.all).then(|| customer.id.clone());
    let chosen = ("orders", &customer_id, status.map(Status::as_str));
    let page: PageRequest<String> = PageRequest::new(&chosen, query.limit, query.cursor.as_deref())?;
    let filter = Filter { customer_id, status, after: page.after.clone() };
    let found = orders::list(service.db.pool(), &filter, page.fetch()).await?;
    let page = page.page(found, |order| order.id.clone());
    let mut lines = orders::lines_of(service.db.pool(), &page.items).await?;
    Ok(axum::Json(page.map(|order| {
        let lines = lines.remove(&order.id).unwrap_or_default();
        OrderView::new(order, &lines)
    })))
}

/// Reads an order.
pub async fn read(
    State(service): State<Service>,
    customer: Customer,
    Path(order_id): Path<String>,
) -> Result<Response, Problem> {
    let order = visible(&service, &customer, &order_id).await?;
    let version = order.version;
    let lines = orders::lines(service.db.pool(), &order_id).await?;
    Ok(Tagged::ok(version, OrderView::new(order, &lines)).into_response())
}

/// Marks a confirmed order as shipped.
pub async fn ship(
    state: State<Service>,
    admin: Admin,
    path: Path<String>,
    key: Idempotency,
    if_match: IfMatch,
) -> Result<Reply, Problem> {
    advance(state, admin, path, (key, if_match), Status::Shipped).await
}

/// Marks a shipped order as delivered.
pub async fn deliver(
    state: State<Service>,
    admin: Admin,
    path: Path<String>,
    key: Idempotency,
    if_match: IfMatch,
) -> Result<Reply, Problem> {
    advance(state, admin, path, (key, if_match), Status::Delivered).await
}

async fn advance(
    State(service): State<Service>,
    Admin(admin): Admin,
    Path(order_id): Path<String>,
    (key, if_match): (Idempotency, IfMatch),
    next: Status,
) -> Result<Reply, Problem> {
    let mut first = match key.once(&service.db, &admin.id, &next.as_str()).await? {
        Once::Replay(reply) => return Ok(reply),
        Once::First(first) => first,
    };
    let tx = first.tx();
    let outcome = async {
        let gone = || Problem::not_found("There is no such order.");
        let before = orders::find(&mut **tx, &order_id).await?.ok_or_else(gone)?;
        if_match.check(before.version)?;
        orders::become_status(tx, &order_id, next).await?;
        let order = orders::find(&mut **tx, &order_id).await?.ok_or_else(gone)?;
        let lines = orders::lines(&mut **tx, &order_id).await?;
        Reply::ok(&OrderView::new(order, &lines))
    };
    let outcome = outcome.await;
    first.settle(outcome).await
}

/// The customer's own order, or anybody's for an admin.
pub async fn visible(service: &Service, customer: &Customer, id: &str) -> Result<Order, Problem> {
    let order = orders::find(service.db.pool(), id).await?;
    let order = order.filter(|order| order.customer_id == customer.id || customer.is_admin());
    order.ok_or_else(|| Problem::not_found("There is no such order."))
}
