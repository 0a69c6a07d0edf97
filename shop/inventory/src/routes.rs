//! The HTTP surface: `public` for everyone, `admin` for administrators, `internal` for orders.

mod admin;
mod internal;
mod public;
mod view;

use axum::Router;
use service_kit::auth;
use service_kit::db::Db;

use crate::app::Settings;

/// What every handler may use.
#[derive(Clone)]
struct Shared {
    db: Db,
    hold_ms: i64,
}

/// All routes of the service.
pub fn router(db: Db, settings: &Settings) -> Router {
    let hold_ms = i64::try_from(settings.hold.as_millis()).unwrap_or(i64::MAX / 2);
    let internal = auth::internal(&["isles-sagas"], internal::routes());
    public::routes().merge(admin::routes()).merge(internal).with_state(Shared { db, hold_ms })
}
