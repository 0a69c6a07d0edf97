//! The signed-in customer's own account.

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use service_kit::etag::{IfMatch, Tagged};
use service_kit::extract::Json;
use service_kit::problem::{Checks, Problem};

use super::SignedIn;
use super::register::email_taken;
use super::sessions::{checked_hash, subjects};
use crate::app::Accounts;
use crate::domain::customer::{Customer, Email, Profile, check_name, check_password};
use crate::domain::throttle::Subject;
use crate::store::customers::Updated;
use crate::store::{customers, sessions};

#[derive(Deserialize)]
pub struct Change {
    name: Option<String>,
    email: Option<String>,
    current_password: Option<String>,
}

#[derive(Deserialize)]
pub struct PasswordChange {
    current_password: String,
    new_password: String,
}

pub async fn show(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
) -> Result<Tagged<Profile>, Problem> {
    let customer = load(&accounts, &caller.id).await?;
    Ok(Tagged::ok(customer.version, Profile::from(&customer)))
}

/// The address is what an account is recovered and signed in with, so changing it takes the password once more.
pub async fn change(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    if_match: IfMatch,
    headers: HeaderMap,
    Json(change): Json<Change>,
) -> Result<Tagged<Profile>, Problem> {
    let customer = load(&accounts, &caller.id).await?;
    if_match.check(customer.version)?;
    let name = change.name.as_deref().unwrap_or(&customer.name).trim();
    let email = change.email.as_deref().map_or_else(|| Email::parse(&customer.email), Email::parse);
    let mut checks = Checks::default();
    check_name(&mut checks, name);
    checks.require(email.is_some(), "email", "email", "Must be an e-mail address.");
    checks.finish()?;
    let email = email.as_ref().map_or(customer.email.as_str(), Email::as_str);
    if email != customer.email {
        let Some(password) = change.current_password else {
            return Err(Problem::invalid(
                "current_password",
                "required",
                "Send your password to change the e-mail address.",
            ));
        };
        confirm_password(&accounts, &headers, &customer, password).await?;
    }
    if name == customer.name && email == customer.email {
        return Ok(Tagged::ok(customer.version, Profile::from(&customer)));
    }
    let mut tx = accounts.db.begin_write().await?;
    match customers::update(&mut tx, &customer.id, customer.version, name, email).await? {
        Updated::Done => {}
        Updated::Changed => return Err(Problem::precondition_failed()),
        Updated::EmailTaken => return Err(email_taken()),
    }
    let changed = customers::by_id(&mut tx, &customer.id).await?.ok_or_else(gone)?;
    tx.commit().await?;
    Ok(Tagged::ok(changed.version, Profile::from(&changed)))
}

/// Ends every other session: whoever knew the old password is out.
pub async fn change_password(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Json(change): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let mut checks = Checks::default();
    check_password(&mut checks, "new_password", &change.new_password);
    checks.finish()?;
    let customer = load(&accounts, &caller.id).await?;
    let checked = confirm_password(&accounts, &headers, &customer, change.current_password).await?;
    let turn = accounts.hasher.turn().await?;
    let hash = accounts.hasher.hash(&turn, change.new_password).await?;
    let mut tx = accounts.db.begin_write().await?;
    tx.lock(&format!("customer/{}", customer.id)).await?;
    if !customers::set_password(&mut tx, &customer.id, &checked, &hash).await? {
        return Err(Problem::conflict(
            "password_changed",
            "The password was changed by someone else just now.",
        ));
    }
    sessions::end_others(&mut tx, &customer.id, &caller.session).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks the customer's password under the same throttle as sign-in; answers its hash.
async fn confirm_password(
    accounts: &Accounts,
    headers: &HeaderMap,
    customer: &Customer,
    password: String,
) -> Result<String, Problem> {
    let account = Subject::account(&customer.email, accounts.limits);
    let subjects = subjects(accounts, account, headers);
    let checked = checked_hash(accounts, &subjects, Some(customer), password).await?;
    checked.ok_or_else(|| {
        let detail = "The current password is not right.";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_password", detail).field(
            "current_password",
            "wrong_password",
            detail,
        )
    })
}

async fn load(accounts: &Accounts, id: &str) -> Result<Customer, Problem> {
    let mut conn = accounts.db.pool().acquire().await?;
    customers::by_id(&mut conn, id).await?.ok_or_else(gone)
}

fn gone() -> Problem {
    Problem::unauthenticated("There is no such account any more.")
}
