//! Signing in, staying signed in, and signing out.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use service_kit::auth::Customer as Caller;
use service_kit::extract::{Json, OptionalJson};
use service_kit::problem::Problem;

use crate::app::Accounts;
use crate::domain::customer::{Customer, Email};
use crate::domain::password::Verdict;
use crate::domain::throttle::Subject;
use crate::domain::token::{ACCESS_SECONDS, Tokens, new_refresh_token, refresh_digest};
use crate::store::sessions::Token;
use crate::store::{customers, sessions, throttle};

#[derive(Deserialize)]
pub struct Credentials {
    email: String,
    password: String,
}

#[derive(Deserialize)]
pub struct Refresh {
    refresh_token: String,
}

#[derive(Default, Deserialize)]
pub struct SignOut {
    refresh_token: Option<String>,
}

pub async fn sign_in(
    State(accounts): State<Accounts>,
    headers: HeaderMap,
    Json(body): Json<Credentials>,
) -> Result<Response, Problem> {
    let email = Email::parse(&body.email);
    let account =
        Subject::account(email.as_ref().map_or(body.email.as_str(), Email::as_str), accounts.limits);
    let customer = match &email {
        Some(email) => customers::by_email(&accounts.db, email).await?,
        None => None,
    };
    let subjects = subjects(&accounts, account.clone(), &headers);
    let checked = checked_hash(&accounts, &subjects, customer.as_ref(), body.password).await?;
    let (Some(customer), Some(hash)) = (customer, checked) else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            "The e-mail address or the password is wrong.",
        ));
    };
    throttle::forgive(&accounts.db, &account).await?;
    let (session, refresh_token) = begin_session(&accounts, &customer, &hash).await?;
    tokens(&accounts, StatusCode::CREATED, &customer, &session, refresh_token)
}

/// Checks a password under the throttle; answers the hash that is in the database afterwards, or `None` if it is wrong.
/// The turn is held until a failure is counted, so that no more guesses than turns can overtake the count.
pub async fn checked_hash(
    accounts: &Accounts,
    subjects: &[Subject],
    customer: Option<&Customer>,
    password: String,
) -> Result<Option<String>, Problem> {
    let turn = accounts.hasher.turn().await?;
    let blocked = throttle::blocked_for(&accounts.db, subjects).await?;
    if blocked > 0 {
        return Err(Problem::rate_limited(u64::try_from(blocked).unwrap_or(1).div_ceil(1000)));
    }
    let stored = customer.map(|customer| customer.password_hash.clone());
    let verdict = accounts.hasher.check(&turn, password.clone(), stored.clone()).await?;
    match (verdict, customer, stored) {
        (Verdict::Right, Some(_), stored) => Ok(stored),
        (Verdict::Rehashed(better), Some(customer), Some(stored)) => {
            let mut tx = accounts.db.begin_write().await?;
            let replaced = customers::set_password(&mut tx, &customer.id, &stored, &better).await?;
            let present = customers::by_id(&mut tx, &customer.id).await?.map(|present| present.password_hash);
            tx.commit().await?;
            if replaced {
                return Ok(present);
            }
            // Another sign-in has replaced the hash meanwhile, or the password was changed.
            let again = accounts.hasher.check(&turn, password, present.clone()).await?;
            Ok(present.filter(|_| again == Verdict::Right))
        }
        _ => {
            throttle::count_failure(&accounts.db, subjects).await?;
            Ok(None)
        }
    }
}

/// What a failure counts against: the account, and the client's network if the gateway told it.
pub fn subjects(accounts: &Accounts, account: Subject, headers: &HeaderMap) -> Vec<Subject> {
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let address = forwarded.and_then(|text| Subject::address(text, accounts.limits));
    std::iter::once(account).chain(address).collect()
}

/// Begins a session unless the password was changed while it was being checked.
async fn begin_session(
    accounts: &Accounts,
    customer: &Customer,
    hash: &str,
) -> Result<(String, String), Problem> {
    let refresh_token = new_refresh_token()?;
    let mut tx = accounts.db.begin_write().await?;
    tx.lock(&format!("customer/{}", customer.id)).await?;
    let present = customers::by_id(&mut tx, &customer.id).await?;
    if present.is_none_or(|present| present.password_hash != hash) {
        return Err(Problem::unauthenticated("The password was changed just now. Sign in again."));
    }
    let session = sessions::begin(&mut tx, &customer.id, &refresh_digest(&refresh_token)).await?;
    tx.commit().await?;
    Ok((session, refresh_token))
}

pub async fn refresh(
    State(accounts): State<Accounts>,
    Json(body): Json<Refresh>,
) -> Result<Response, Problem> {
    let next = new_refresh_token()?;
    let mut tx = accounts.db.begin_write().await?;
    let used = sessions::use_token(&mut tx, &refresh_digest(&body.refresh_token)).await?;
    let (session, customer) = match used {
        Token::Good { session, customer } => (session, customer),
        Token::Reused => {
            tx.commit().await?;
            tracing::warn!("a refresh token was used twice: its session has been ended");
            return Err(not_refreshable());
        }
        Token::Bad => return Err(not_refreshable()),
    };
    sessions::add_token(&mut tx, &session, &refresh_digest(&next)).await?;
    let customer = customers::by_id(&mut tx, &customer).await?.ok_or_else(not_refreshable)?;
    tx.commit().await?;
    tokens(&accounts, StatusCode::OK, &customer, &session, next)
}

fn not_refreshable() -> Problem {
    Problem::unauthenticated("This refresh token is not good any more. Sign in again.")
}

/// Ends the session of the refresh token in the body if there is one (the access token may have expired by then), else
/// that of the access token.
pub async fn sign_out(
    State(accounts): State<Accounts>,
    caller: Result<Caller, Problem>,
    OptionalJson(body): OptionalJson<SignOut>,
) -> Result<StatusCode, Problem> {
    let mut tx = accounts.db.begin_write().await?;
    let session = match body.refresh_token {
        Some(token) => {
            sessions::of_token(&mut tx, &refresh_digest(&token)).await?.ok_or_else(not_refreshable)?
        }
        None => caller?.session,
    };
    sessions::end(&mut tx, &session).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn tokens(
    accounts: &Accounts,
    status: StatusCode,
    customer: &Customer,
    session: &str,
    refresh_token: String,
) -> Result<Response, Problem> {
    let access_token = accounts.signer.access_token(customer, session)?;
    let tokens = Tokens { access_token, refresh_token, token_type: "Bearer", expires_in: ACCESS_SECONDS };
    Ok((status, [(CACHE_CONTROL, "no-store")], axum::Json(tokens)).into_response())
}
