//! What everyone may read, and what other services ask.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use service_kit::auth::MaybeCustomer;
use service_kit::etag::{Tagged, etag, not_modified};
use service_kit::extract::{Path, Query};
use service_kit::page::{Page, PageRequest};
use service_kit::problem::Problem;

use crate::app::Catalog;
use crate::domain::product::{Category, Product, Status};
use crate::domain::query::{ListQuery, Place};
use crate::store::{list, products};

const MOST_SKUS: usize = 100;

/// A list that has one page only.
#[derive(Serialize)]
pub struct Items<T> {
    items: Vec<T>,
}

/// Who asks. While accounts' keys cannot be had nobody can be recognized, and browsing must go on: as a guest.
fn is_admin(asks: Result<MaybeCustomer, Problem>) -> Result<bool, Problem> {
    match asks {
        Ok(MaybeCustomer(customer)) => Ok(customer.is_some_and(|customer| customer.is_admin())),
        Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => Ok(false),
        Err(problem) => Err(problem),
    }
}

pub async fn list(
    State(catalog): State<Catalog>,
    asks: Result<MaybeCustomer, Problem>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<Product>>, Problem> {
    let filter = query.filter(is_admin(asks)?)?;
    let page = PageRequest::<Place>::new(&("products", &filter), query.limit, query.cursor.as_deref())?;
    if page.after.as_ref().is_some_and(|place| !filter.sort.fits(place)) {
        return Err(Problem::invalid_cursor());
    }
    let rows = list::list(&catalog.db, &filter, page.after.as_ref(), page.fetch()).await?;
    Ok(axum::Json(page.page(rows, |product| filter.sort.place(product))))
}

pub async fn show(
    State(catalog): State<Catalog>,
    asks: Result<MaybeCustomer, Problem>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let is_admin = is_admin(asks)?;
    let mut conn = catalog.db.pool().acquire().await?;
    let found = products::find(&mut conn, &id).await?;
    let product =
        found.filter(|product| is_admin || product.status == Status::Active).ok_or_else(no_product)?;
    if not_modified(&headers, product.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(product.version))]).into_response());
    }
    Ok(Tagged::ok(product.version, product).into_response())
}

pub async fn categories(State(catalog): State<Catalog>) -> Result<axum::Json<Items<Category>>, Problem> {
    Ok(axum::Json(Items { items: products::categories(&catalog.db).await? }))
}

/// Unknown SKUs and those that are not active are absent.
pub async fn by_sku(
    State(catalog): State<Catalog>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<axum::Json<Items<Product>>, Problem> {
    let mut skus: Vec<String> =
        query.into_iter().filter(|(name, _)| name == "sku").map(|(_, sku)| sku).collect();
    skus.sort_unstable();
    skus.dedup();
    if skus.is_empty() || skus.len() > MOST_SKUS {
        return Err(Problem::invalid("sku", "count", "Ask for 1 to 100 SKUs: ?sku=A&sku=B."));
    }
    Ok(axum::Json(Items { items: products::active_by_sku(&catalog.db, &skus).await? }))
}

pub fn no_product() -> Problem {
    Problem::not_found("There is no such product.")
}
