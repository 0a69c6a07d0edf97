//! New customers.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use service_kit::auth::Role;
use service_kit::extract::Json;
use service_kit::problem::{Checks, Problem};

use crate::app::Accounts;
use crate::domain::customer::{Email, NewCustomer, check_name, check_password};
use crate::store::customers;

#[derive(Deserialize)]
pub struct Registration {
    email: String,
    password: String,
    name: String,
}

pub async fn register(
    State(accounts): State<Accounts>,
    Json(body): Json<Registration>,
) -> Result<(StatusCode, axum::Json<Value>), Problem> {
    let email = Email::parse(&body.email);
    let mut checks = Checks::default();
    checks.require(email.is_some(), "email", "email", "Must be an e-mail address.");
    check_password(&mut checks, "password", &body.password);
    check_name(&mut checks, &body.name);
    checks.finish()?;
    let Some(email) = email else { return Err(Problem::validation_failed()) };
    // Known before the costly hash; the unique index decides between two at once.
    if customers::by_email(&accounts.db, &email).await?.is_some() {
        return Err(email_taken());
    }
    let turn = accounts.hasher.turn().await?;
    let hash = accounts.hasher.hash(&turn, body.password).await?;
    let new = NewCustomer { email, name: body.name.trim().to_owned(), role: Role::Customer };
    let customer = customers::insert(&accounts.db, &new, &hash).await?.ok_or_else(email_taken)?;
    let shown = json!({ "id": customer.id, "email": customer.email, "name": customer.name });
    Ok((StatusCode::CREATED, axum::Json(shown)))
}

pub fn email_taken() -> Problem {
    Problem::conflict("email_taken", "There is an account with this e-mail address already. Sign in instead.")
}
