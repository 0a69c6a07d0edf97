//! What anyone may see: how much there is.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use service_kit::etag::{Tagged, not_modified};
use service_kit::extract::{Path, Query};
use service_kit::page::{Limit, Page, PageRequest};
use service_kit::problem::Problem;

use super::Shared;
use crate::store::{self, Stock};

/// How many SKUs one question may name.
const MAX_SKUS: usize = 100;

pub fn routes() -> Router<Shared> {
    Router::new().route("/api/inventory/stock", get(list)).route("/api/inventory/stock/{sku}", get(one))
}

async fn one(
    State(shared): State<Shared>,
    Path(sku): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut conn = shared.db.pool().acquire().await?;
    let stock = store::stock_of(&mut conn, &sku).await?;
    let stock = stock.ok_or_else(|| Problem::not_found("Inventory does not know this SKU."))?;
    if not_modified(&headers, stock.version) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(Tagged::ok(stock.version, stock).into_response())
}

/// The named SKUs (those that are known) in one page, or all of them page by page.
async fn list(
    State(shared): State<Shared>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<axum::Json<Page<Stock>>, Problem> {
    let values = |name: &str| -> Vec<String> {
        query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    };
    let skus = values("sku");
    if skus.len() > MAX_SKUS {
        let message = format!("Name at most {MAX_SKUS} SKUs.");
        return Err(Problem::invalid("sku", "too_many", message));
    }
    let mut conn = shared.db.pool().acquire().await?;
    if !skus.is_empty() {
        let items = store::stock_of_all(&mut conn, &skus).await?;
        return Ok(axum::Json(Page { items, next_cursor: None }));
    }
    let limit = values("limit").pop().map(|text| parse_limit(&text)).transpose()?;
    let request = PageRequest::<String>::new(&"stock", limit, values("cursor").last().map(String::as_str))?;
    let after = request.after.as_deref().unwrap_or_default();
    let rows = store::all_stock(&mut conn, after, request.fetch()).await?;
    Ok(axum::Json(request.page(rows, |stock| stock.sku.clone())))
}

fn parse_limit(text: &str) -> Result<Limit, Problem> {
    serde_json::from_value(text.into())
        .map_err(|_| Problem::invalid("limit", "invalid", "The limit must be a whole number."))
}
