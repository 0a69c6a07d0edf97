//! The signed-in customer's addresses.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use service_kit::etag::{IfMatch, Tagged};
use service_kit::extract::{Json, Path, Query};
use service_kit::page::{Limit, Page, PageRequest};
use service_kit::problem::Problem;

use super::SignedIn;
use crate::app::Accounts;
use crate::domain::address::{Address, AddressBody, MOST};
use crate::store::addresses;

#[derive(Deserialize)]
pub struct ListQuery {
    limit: Option<Limit>,
    cursor: Option<String>,
}

pub async fn list(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<Address>>, Problem> {
    let request =
        PageRequest::<String>::new(&("addresses", &caller.id), query.limit, query.cursor.as_deref())?;
    let after = request.after.as_deref().unwrap_or_default();
    let rows = addresses::list(&accounts.db, &caller.id, after, request.fetch()).await?;
    Ok(axum::Json(request.page(rows, |address| address.id.clone())))
}

pub async fn add(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    Json(body): Json<AddressBody>,
) -> Result<Tagged<Address>, Problem> {
    body.check()?;
    let mut tx = accounts.db.begin_write().await?;
    tx.lock(&format!("customer/{}", caller.id)).await?;
    if addresses::count(&mut tx, &caller.id).await? >= MOST {
        return Err(Problem::conflict(
            "too_many_addresses",
            format!("An account keeps at most {MOST} addresses."),
        ));
    }
    let address = addresses::insert(&mut tx, &caller.id, body).await?;
    tx.commit().await?;
    Ok(Tagged::created(address.version, address))
}

pub async fn show(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    Path(id): Path<String>,
) -> Result<Tagged<Address>, Problem> {
    let mut conn = accounts.db.pool().acquire().await?;
    let address = addresses::find(&mut conn, &caller.id, &id).await?.ok_or_else(no_address)?;
    Ok(Tagged::ok(address.version, address))
}

pub async fn replace(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    Path(id): Path<String>,
    if_match: IfMatch,
    Json(body): Json<AddressBody>,
) -> Result<Tagged<Address>, Problem> {
    body.check()?;
    let mut tx = accounts.db.begin_write().await?;
    let present = addresses::find(&mut tx, &caller.id, &id).await?.ok_or_else(no_address)?;
    if_match.check(present.version)?;
    let next = body.into_address(id, present.version + 1);
    if !addresses::replace(&mut tx, &caller.id, present.version, &next).await? {
        return Err(Problem::precondition_failed());
    }
    tx.commit().await?;
    Ok(Tagged::ok(next.version, next))
}

pub async fn remove(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    Path(id): Path<String>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    let mut tx = accounts.db.begin_write().await?;
    let present = addresses::find(&mut tx, &caller.id, &id).await?.ok_or_else(no_address)?;
    if_match.check(present.version)?;
    if !addresses::delete(&mut tx, &caller.id, &id, present.version).await? {
        return Err(Problem::precondition_failed());
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn no_address() -> Problem {
    Problem::not_found("There is no such address.")
}
