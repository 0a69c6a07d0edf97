//! The inventory: units are held for an order, leave the stock, or come back. The reservation's key is the order's id.

use http::StatusCode;
use serde_json::{Value, json};
use service_kit::http::encode;

use super::Outcome;
use crate::service::Service;
use crate::store::orders::Line;

/// Holds the units of an order.
pub async fn reserve(service: &Service, order_id: &str, lines: &[Line]) -> Outcome {
    let lines: Vec<_> =
        lines.iter().map(|line| json!({"sku": line.sku, "quantity": line.quantity})).collect();
    let body = json!({"key": order_id, "lines": lines, "ttl_seconds": service.timing.hold.as_secs()});
    post(service, "/reservations", &format!("{order_id}:reserve"), &body).await
}

/// Takes the held units out of the stock.
pub async fn commit(service: &Service, order_id: &str) -> Outcome {
    act(service, order_id, "commit").await
}

/// Frees what is held for an order, or puts back what it has taken, whichever it is.
pub async fn undo(service: &Service, order_id: &str, committed: bool) -> Outcome {
    if !committed {
        match act(service, order_id, "release").await {
            // Its commit came through after all.
            Outcome::Refused(problem) if problem.status() == StatusCode::CONFLICT => {}
            other => return other,
        }
    }
    act(service, order_id, "return").await
}

async fn act(service: &Service, order_id: &str, operation: &str) -> Outcome {
    let path = format!("/reservations/{}/{operation}", encode(order_id));
    post(service, &path, &format!("{order_id}:{operation}"), &json!({})).await
}

async fn post(service: &Service, path: &str, key: &str, body: &Value) -> Outcome {
    let call = service.inventory.post(path).idempotency_key(key).json(body).timeout(service.timing.call);
    Outcome::of(call.send().await.map(drop))
}
