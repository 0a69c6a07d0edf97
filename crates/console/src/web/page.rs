//! What is around every page.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::{Fragment, Page};
use crate::Refusal;
use crate::api::AppStatus;

const PLACES: [(&str, &str); 6] = [
    ("/", "Overview"),
    ("/timeline", "Timeline"),
    ("/traces", "Traces"),
    ("/logs", "Logs"),
    ("/sagas", "Sagas"),
    ("/manifest", "Manifest"),
];

impl Page {
    /// Where in the navigation it belongs.
    fn place(&self) -> &'static str {
        match self {
            Self::Overview | Self::Service(..) | Self::Measured(..) => "/",
            Self::Traces(_) | Self::Trace(_) => "/traces",
            Self::Logs(_) => "/logs",
            Self::Sagas(_) | Self::Saga(_) => "/sagas",
            Self::Timeline(_) => "/timeline",
            Self::Manifest => "/manifest",
        }
    }
}

/// A whole page.
pub fn whole(status: &AppStatus, page: &Page, fragment: &Fragment) -> Response {
    let body = html! {
        (fragment.fixed)
        div #live aria-live="off" { (fragment.live) }
    };
    send(StatusCode::OK, &document(&fragment.title, Some((status, page.place())), &body))
}

/// A page that says why something was not done.
pub fn refused(status: &AppStatus, refusal: &Refusal) -> Response {
    let code = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = html! {
        h1 { "This was not done" }
        p.bad role="alert" { (refusal.detail) }
        p { a href="/" { "Back to the overview" } }
    };
    send(code, &document("Refused", Some((status, "")), &body))
}

/// In the place of a page whose subject is gone.
pub fn gone(refusal: &Refusal) -> Markup {
    html! { p.bad role="alert" { (refusal.detail) } }
}

/// A page for whoever is not let in. It says nothing about the app.
pub fn closed(detail: &str) -> Response {
    let body = html! {
        h1 { "Isles" }
        p { (detail) }
    };
    // The caller puts the status.
    send(StatusCode::OK, &document("Isles", None, &body))
}

fn send(status: StatusCode, page: &Markup) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.0.clone()).into_response()
}

fn document(title: &str, inside: Option<(&AppStatus, &str)>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) @if let Some((status, _)) = inside { " · " (status.app) } }
                @if inside.is_some() {
                    link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/assets/style.css";
                    script src="/assets/script.js" defer {}
                }
            }
            body {
                @if let Some((status, place)) = inside {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        span.app { (status.app) }
                        nav aria-label="Pages" {
                            @for (path, name) in PLACES {
                                a href=(path) aria-current=[(path == place).then_some("page")] { (name) }
                            }
                        }
                        span #connection.connection role="status" { (status.state.name()) }
                    }
                }
                main #main tabindex="-1" { (body) }
            }
        }
    }
}
