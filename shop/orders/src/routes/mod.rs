//! The HTTP surface. One table says which operations there are; the router and the contract test both read it.

mod cancel;
mod carts;
mod checkout;
mod orders;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post, put};

use crate::service::Service;

/// Method, path and handler of every operation.
fn table() -> [(&'static str, &'static str, MethodRouter<Service>); 10] {
    [
        ("post", "/api/orders/carts", post(carts::open)),
        ("get", "/api/orders/carts/{cart_id}", get(carts::read)),
        ("put", "/api/orders/carts/{cart_id}/lines/{sku}", put(carts::set_line)),
        ("delete", "/api/orders/carts/{cart_id}/lines/{sku}", delete(carts::remove_line)),
        ("post", "/api/orders/checkout", post(checkout::checkout)),
        ("get", "/api/orders", get(orders::list)),
        ("get", "/api/orders/{order_id}", get(orders::read)),
        ("post", "/api/orders/{order_id}/cancel", post(cancel::cancel)),
        ("post", "/api/orders/{order_id}/ship", post(orders::ship)),
        ("post", "/api/orders/{order_id}/deliver", post(orders::deliver)),
    ]
}

/// Method (lower case) and path of every operation, those of the health checks aside.
#[must_use]
pub fn operations() -> Vec<(&'static str, &'static str)> {
    table().into_iter().map(|(method, path, _)| (method, path)).collect()
}

/// The router over the service's parts.
pub fn router(service: Service) -> Router {
    let empty = Router::new();
    table()
        .into_iter()
        .fold(empty, |router, (_, path, handler)| router.route(path, handler))
        .with_state(service)
}
