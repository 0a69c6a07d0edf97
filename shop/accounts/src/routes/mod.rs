//! HTTP: who may do what, in which shape. One file a resource.

mod addresses;
mod me;
mod register;
mod sessions;

use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use service_kit::auth::Customer as Caller;
use service_kit::problem::Problem;

use crate::app::Accounts;
use crate::store;

/// Every operation of the service.
pub fn all() -> Router<Accounts> {
    Router::new()
        .route("/api/accounts/register", post(register::register))
        .route("/api/accounts/sessions", post(sessions::sign_in))
        .route("/api/accounts/sessions/refresh", post(sessions::refresh))
        .route("/api/accounts/sessions/current", delete(sessions::sign_out))
        .route("/api/accounts/me", get(me::show).patch(me::change))
        .route("/api/accounts/me/password", post(me::change_password))
        .route("/api/accounts/me/addresses", get(addresses::list).post(addresses::add))
        .route(
            "/api/accounts/me/addresses/{id}",
            get(addresses::show).put(addresses::replace).delete(addresses::remove),
        )
        .route(service_kit::jwks::PATH, get(keys))
}

async fn keys(State(accounts): State<Accounts>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "public, max-age=60")], axum::Json(accounts.signer.published().clone()))
}

/// A customer whose session has not ended. Other services only see that the token is still good; here, where the
/// account itself is changed, a session that was ended counts at once.
pub struct SignedIn(pub Caller);

impl FromRequestParts<Accounts> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, accounts: &Accounts) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, accounts).await?;
        if store::sessions::is_live(&accounts.db, &caller.session).await? {
            return Ok(Self(caller));
        }
        Err(Problem::unauthenticated("This session has ended. Sign in again."))
    }
}
