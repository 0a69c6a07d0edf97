//! The dashboard of a running app: found by its command, and there with another app's beside it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use testkit::{Answer, App, get, request};

const WEB: &str = r#"
[[gateway.routes]]
path = "/"
service = "web"

[services.web]
dir = "."
command = "{scripted}"
"#;

/// Host and port, and the token, of what `isles console` prints.
fn address(app: &App) -> (std::net::SocketAddr, String) {
    let printed = app.isles(&["console"]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let (url, token) = printed.stdout.trim().split_once("/?token=").unwrap();
    (url.strip_prefix("http://").unwrap().parse().unwrap(), token.to_owned())
}

fn open(at: std::net::SocketAddr, token: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    request(at, "GET", path, &[("authorization", &bearer)], "").unwrap()
}

#[test]
fn the_command_prints_where_the_dashboard_is_and_the_token_outlives_the_control_plane() {
    let app = App::new(WEB);
    assert_eq!(app.isles(&["console"]).code, Some(5), "nothing runs");
    app.up();
    let (at, token) = address(&app);
    assert_eq!(get(at, "/").unwrap().status, 401);
    let page = open(at, &token, "/");
    assert!(page.status == 200 && page.body.contains("/services/web"), "{page:?}");
    assert_eq!(open(at, &token, "/services/web").status, 200);
    // Its own log, in which everything that a service says is kept, has no token in it.
    assert!(!app.control_log().contains(&token));

    app.kill(u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap());
    app.up();
    assert_eq!(address(&app), (at, token), "a bookmark goes on to work");
}

#[test]
fn where_the_address_is_taken_the_dashboard_is_elsewhere_and_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let app = App::new(WEB);
    let manifest = app.root().join("isles.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let (before, console) = text.split_once("[console]").unwrap();
    let listen = format!("listen = \"127.0.0.1:{port}\"");
    let console: Vec<&str> =
        console.lines().map(|line| if line.starts_with("listen") { &listen } else { line }).collect();
    std::fs::write(&manifest, format!("{before}[console]{}\n", console.join("\n"))).unwrap();
    app.up();
    let (at, token) = address(&app);
    assert_ne!(at.port(), port);
    assert_eq!(open(at, &token, "/").status, 200);
    let ps = app.isles(&["ps"]).stdout;
    assert!(ps.contains(&format!("the dashboard is at {at}, since 127.0.0.1:{port} cannot be had")), "{ps}");
}
