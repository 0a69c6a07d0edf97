//! HTTP: who may do what, in which shape.

mod admin;
mod browse;

use axum::Router;
use axum::routing::get;
use service_kit::auth::internal;

use crate::app::Catalog;

/// Every operation of the service.
pub fn all() -> Router<Catalog> {
    let inside = Router::new().route("/products/by-sku", get(browse::by_sku));
    Router::new()
        .route("/api/catalog/products", get(browse::list).post(admin::add))
        .route("/api/catalog/products/{id}", get(browse::show).patch(admin::change).delete(admin::archive))
        .route("/api/catalog/categories", get(browse::categories))
        .merge(internal(&["orders", "storefront", "recommendations"], inside))
}
