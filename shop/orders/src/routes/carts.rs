//! Carts. A guest's cart belongs to whoever knows its id; a customer's to that customer alone.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use service_kit::auth::{Customer, MaybeCustomer};
use service_kit::etag::{IfMatch, Tagged};
use service_kit::extract::{Json, OptionalJson, Path};
use service_kit::problem::{Checks, Problem};

use crate::callees::catalog;
use crate::checkout::not_open;
use crate::domain::cart::{MAX_QUANTITY, Merged, is_sku, merge};
use crate::service::Service;
use crate::store::carts::{self, Cart, KnownProduct};
use crate::view::{CartView, Prices};

/// The body of `POST /api/orders/carts`.
#[derive(Debug, Default, Deserialize)]
pub struct Open {
    #[serde(default)]
    merge_from: Option<String>,
}

/// The body of `PUT …/lines/{sku}`.
#[derive(Debug, Deserialize)]
pub struct SetLine {
    quantity: i64,
}

/// Opens a cart: a new one for a guest, the one and only for a customer.
pub async fn open(
    State(service): State<Service>,
    MaybeCustomer(customer): MaybeCustomer,
    OptionalJson(body): OptionalJson<Open>,
) -> Result<Response, Problem> {
    let Some(customer) = customer else {
        if body.merge_from.is_some() {
            return Err(Problem::unauthenticated("Sign in first: a guest's cart merges into a customer's."));
        }
        let id = new_cart_id();
        let mut tx = service.db.begin_write().await?;
        carts::insert(&mut tx, &id, None).await?;
        tx.commit().await?;
        return shown(&service, &id, StatusCode::CREATED, None).await;
    };
    let (id, status) = customers_cart(&service, &customer).await?;
    let merged = match body.merge_from {
        Some(from) if from != id => merge_into(&service, &customer, &from, &id).await?,
        _ => None,
    };
    shown(&service, &id, status, merged.as_ref()).await
}

/// The id is the right to use a guest's cart, so it must not be guessable: a `UUIDv7` would tell most of itself by the time.
fn new_cart_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The cart that the customer fills now, made if there is none.
async fn customers_cart(service: &Service, customer: &Customer) -> Result<(String, StatusCode), Problem> {
    loop {
        if let Some(id) = carts::current_of(service.db.pool(), &customer.id).await? {
            return Ok((id, StatusCode::OK));
        }
        let id = new_cart_id();
        let mut tx = service.db.begin_write().await?;
        carts::insert(&mut tx, &id, Some(&customer.id)).await?;
        if carts::make_current(&mut tx, &customer.id, &id).await? {
            tx.commit().await?;
            return Ok((id, StatusCode::CREATED));
        }
    }
}

/// Moves the lines of a guest's cart into the customer's, once: asking again changes nothing.
async fn merge_into(
    service: &Service,
    customer: &Customer,
    from: &str,
    into: &str,
) -> Result<Option<Merged>, Problem> {
    let mut tx = service.db.begin_write().await?;
    if !carts::mark_merged(&mut tx, from, &customer.id, into).await? {
        drop(tx);
        let cart = visible(service, Some(customer), from).await?;
        if cart.merged_into.as_deref() == Some(into) {
            return Ok(None);
        }
        return Err(not_open(service, &cart).await?);
    }
    if !carts::touch(&mut tx, into, None).await? {
        drop(tx);
        let cart = visible(service, Some(customer), into).await?;
        return Err(not_open(service, &cart).await?);
    }
    let (mine, guest) = (carts::lines(&mut *tx, into).await?, carts::lines(&mut *tx, from).await?);
    let merged = merge(&mine, &guest);
    for (sku, quantity) in &merged.changed {
        carts::set_line(&mut tx, into, sku, *quantity).await?;
    }
    tx.commit().await?;
    Ok(Some(merged))
}

/// Reads a cart with today's prices.
pub async fn read(
    State(service): State<Service>,
    MaybeCustomer(customer): MaybeCustomer,
    Path(cart_id): Path<String>,
) -> Result<Response, Problem> {
    let cart = visible(&service, customer.as_ref(), &cart_id).await?;
    shown(&service, &cart.id, StatusCode::OK, None).await
}

/// Sets how many of a product the cart holds.
pub async fn set_line(
    State(service): State<Service>,
    MaybeCustomer(customer): MaybeCustomer,
    Path((cart_id, sku)): Path<(String, String)>,
    if_match: IfMatch,
    headers: HeaderMap,
    Json(body): Json<SetLine>,
) -> Result<Response, Problem> {
    let mut checks = Checks::default();
    let message = format!("Must be from 0 (which removes the line) to {MAX_QUANTITY}.");
    checks.require((0..=MAX_QUANTITY).contains(&body.quantity), "quantity", "range", &message);
    checks.require(is_sku(&sku), "sku", "format", "A SKU has 1 to 64 letters, digits, '-', '_' or '.'.");
    checks.finish()?;
    let cart = changeable(&service, customer.as_ref(), &cart_id, &if_match).await?;
    let product = if body.quantity > 0 { known_product(&service, &sku).await? } else { None };
    let version = headers.contains_key(header::IF_MATCH).then_some(cart.version);
    change(&service, &cart, version, &sku, body.quantity, product.as_ref()).await?;
    shown(&service, &cart.id, StatusCode::OK, None).await
}

/// Removes a product from the cart; one that is not in it is no error.
pub async fn remove_line(
    State(service): State<Service>,
    MaybeCustomer(customer): MaybeCustomer,
    Path((cart_id, sku)): Path<(String, String)>,
    if_match: IfMatch,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cart = changeable(&service, customer.as_ref(), &cart_id, &if_match).await?;
    let version = headers.contains_key(header::IF_MATCH).then_some(cart.version);
    change(&service, &cart, version, &sku, 0, None).await?;
    shown(&service, &cart.id, StatusCode::OK, None).await
}

async fn change(
    service: &Service,
    cart: &Cart,
    version: Option<i64>,
    sku: &str,
    quantity: i64,
    product: Option<&KnownProduct>,
) -> Result<(), Problem> {
    let mut tx = service.db.begin_write().await?;
    if !carts::touch(&mut tx, &cart.id, version).await? {
        drop(tx);
        let now = carts::find(service.db.pool(), &cart.id).await?;
        return match now.filter(|cart| cart.status != "open") {
            Some(cart) => Err(not_open(service, &cart).await?),
            None => Err(Problem::precondition_failed()),
        };
    }
    if let Some(product) = product {
        carts::remember(&mut tx, product).await?;
    }
    carts::set_line(&mut tx, &cart.id, sku, quantity).await?;
    tx.commit().await?;
    Ok(())
}

/// What the catalog says about a SKU; without the catalog, `None` if the SKU was sold before.
async fn known_product(service: &Service, sku: &str) -> Result<Option<KnownProduct>, Problem> {
    match catalog::products(&service.catalog, &[sku]).await {
        Ok(found) => found.into_iter().find(|product| product.sku == sku).map(Some).ok_or_else(|| {
            Problem::invalid("sku", "unknown_sku", "The catalog sells no product with this SKU.")
        }),
        Err(_) if carts::known(&service.db, sku).await?.is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn visible(service: &Service, customer: Option<&Customer>, id: &str) -> Result<Cart, Problem> {
    let cart = carts::find(service.db.pool(), id).await?;
    let may_see = |cart: &Cart| match &cart.customer_id {
        Some(owner) => customer.is_some_and(|customer| customer.id == *owner),
        None => true,
    };
    cart.filter(may_see).ok_or_else(|| Problem::not_found("There is no such cart."))
}

async fn changeable(
    service: &Service,
    customer: Option<&Customer>,
    id: &str,
    if_match: &IfMatch,
) -> Result<Cart, Problem> {
    let cart = visible(service, customer, id).await?;
    if cart.status != "open" {
        return Err(not_open(service, &cart).await?);
    }
    if_match.check(cart.version)?;
    Ok(cart)
}

/// The cart as it is now. Nothing is written: a GET uses this too.
async fn shown(
    service: &Service,
    id: &str,
    status: StatusCode,
    merged: Option<&Merged>,
) -> Result<Response, Problem> {
    let cart = carts::find(service.db.pool(), id).await?;
    let cart = cart.ok_or_else(|| Problem::not_found("There is no such cart."))?;
    let lines = carts::lines(service.db.pool(), id).await?;
    let mut prices = Prices::default();
    for product in carts::known_in(&service.db, id).await? {
        prices.known.insert(product.sku.clone(), product);
    }
    let skus: Vec<&str> = lines.iter().map(|(sku, _)| sku.as_str()).collect();
    match catalog::products(&service.catalog, &skus).await {
        Ok(found) => {
            prices.on_sale = Some(found.iter().map(|product| product.sku.clone()).collect());
            prices.known.extend(found.into_iter().map(|product| (product.sku.clone(), product)));
        }
        Err(error) => tracing::warn!(cause = %error, "a cart is shown with its last known prices"),
    }
    let (version, view) = (cart.version, CartView::new(&cart, &lines, &prices, merged));
    let mut response = Tagged { status, version, body: view }.into_response();
    if status == StatusCode::CREATED {
        let location = format!("/api/orders/carts/{id}");
        let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
