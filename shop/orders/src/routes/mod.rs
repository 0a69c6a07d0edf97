//! The HTTP surface. One table says which operations there are; the router and the contract test both read it.

mod cancel;
mod carts;
mod checkout;
mod orders;
mod steps;

use axum::Router;
use axum::routing::{MethodRouter, delete, get, post, put};
use service_kit::auth;

use crate::service::Service;

type Row = (&'static str, &'static str, MethodRouter<Service>);

/// Method, path and handler of every operation for customers and admins.
fn public() -> [Row; 10] {
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

/// The same of every step of a saga.
fn internal() -> [Row; 7] {
    [
        ("post", "/orders/{order_id}/begin", post(steps::begin)),
        ("post", "/orders/{order_id}/stock-reserved", post(steps::stock_reserved)),
        ("post", "/orders/{order_id}/payment-authorized", post(steps::payment_authorized)),
        ("post", "/orders/{order_id}/confirm", post(steps::confirm)),
        ("post", "/orders/{order_id}/abandon", post(steps::abandon)),
        ("post", "/orders/{order_id}/withdraw", post(steps::withdraw)),
        ("post", "/orders/{order_id}/refunded", post(steps::refunded)),
    ]
}

/// Method (lower case) and path of every operation, those of the health checks aside.
#[must_use]
pub fn operations() -> Vec<(&'static str, &'static str)> {
    public().into_iter().chain(internal()).map(|(method, path, _)| (method, path)).collect()
}

/// The router over the service's parts.
pub fn router(service: Service) -> Router {
    let gather = |rows: Vec<Row>| {
        rows.into_iter().fold(Router::new(), |router, (_, path, handler)| router.route(path, handler))
    };
    let internal = auth::internal(&["isles-sagas"], gather(internal().into()));
    gather(public().into()).merge(internal).with_state(service)
}
