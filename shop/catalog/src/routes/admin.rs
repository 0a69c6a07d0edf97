//! What admins change.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use service_kit::auth::Admin;
use service_kit::etag::{IfMatch, Tagged};
use service_kit::extract::{Json, Path};
use service_kit::problem::Problem;

use super::browse::no_product;
use crate::app::Catalog;
use crate::domain::edit::{Change, Draft};
use crate::domain::product::{Product, Status};
use crate::store::products;

pub async fn add(
    State(catalog): State<Catalog>,
    Admin(admin): Admin,
    Json(draft): Json<Draft>,
) -> Result<Response, Problem> {
    let (product, category_name) = draft.into_product()?;
    let mut tx = catalog.db.begin_write().await?;
    products::insert(&mut tx, &product, category_name.as_deref()).await?;
    tx.commit().await?;
    tracing::info!(sku = product.sku, by = admin.id, "product added");
    let location =
        HeaderValue::try_from(format!("/api/catalog/products/{}", product.id)).map_err(Problem::internal)?;
    Ok(([(header::LOCATION, location)], Tagged::created(product.version, product)).into_response())
}

pub async fn change(
    State(catalog): State<Catalog>,
    Admin(admin): Admin,
    Path(id): Path<String>,
    if_match: IfMatch,
    Json(change): Json<Change>,
) -> Result<Tagged<Product>, Problem> {
    let mut tx = catalog.db.begin_write().await?;
    let present = products::find(&mut tx, &id).await?.ok_or_else(no_product)?;
    if_match.require(present.version)?;
    let (changed, category_name) = change.apply(&present)?;
    products::update(&mut tx, &changed, category_name.as_deref()).await?;
    tx.commit().await?;
    tracing::info!(sku = changed.sku, version = changed.version, by = admin.id, "product changed");
    Ok(Tagged::ok(changed.version, changed))
}

/// A product that orders may name is never deleted.
pub async fn archive(
    State(catalog): State<Catalog>,
    Admin(admin): Admin,
    Path(id): Path<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let mut tx = catalog.db.begin_write().await?;
    let present = products::find(&mut tx, &id).await?.ok_or_else(no_product)?;
    if_match.require(present.version)?;
    if present.status != Status::Archived {
        let archived = Product { status: Status::Archived, version: present.version + 1, ..present };
        products::update(&mut tx, &archived, None).await?;
        tx.commit().await?;
        tracing::info!(sku = archived.sku, by = admin.id, "product archived");
    }
    Ok(StatusCode::NO_CONTENT)
}
