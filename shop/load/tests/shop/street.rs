//! The shop's services in this process, each with a database and a port of its own.

use serde_json::Value;
use service_kit::config::{Config, StartError};
use service_kit::start::App;
use service_kit::testing::Running;
use shop_load::client::Shop;
use tempfile::TempDir;

use crate::gateway::Gateway;

/// The admin's address.
pub const ADMIN: &str = "admin@shop.example";
/// The admin's password.
pub const PASSWORD: &str = "a long enough password";

/// The running shop.
pub struct Street {
    gateway: Gateway,
    home: TempDir,
    running: Vec<Running>,
}

impl Street {
    /// Opens a shop with the seeded products.
    pub async fn open() -> Self {
        let mut street =
            Self { gateway: Gateway::start().await, home: TempDir::new().unwrap(), running: Vec::new() };
        let config = street.config("accounts");
        street.add("accounts", shop_accounts::app::build(config).await).await;
        let config = street.config("catalog");
        street.add("catalog", shop_catalog::app::build(config).await).await;
        let config = street.config("inventory");
        street.add("inventory", shop_inventory::app::build(config).await).await;
        let config = street.config("payments");
        street.add("payments", shop_payments::app::build(config).await).await;
        let config = street.config("orders");
        street.add("orders", shop_orders::build(config).await).await;
        street
    }

    fn config(&self, service: &'static str) -> Config {
        let database = format!("sqlite://{}/{service}.db", self.home.path().display());
        let mut vars: Vec<(String, String)> = [
            ("PORT", "0"),
            ("DATABASE_URL", &database),
            ("SHOP_ADMIN_EMAIL", ADMIN),
            ("SHOP_ADMIN_PASSWORD", PASSWORD),
            ("TEST_PROVIDER_SLOW_MS", "300"),
            ("CHECKOUT_LEASE_MS", "3000"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        for callee in ["accounts", "catalog", "inventory", "payments", "recommendations"] {
            vars.push((format!("{}_URL", callee.to_uppercase()), self.gateway.edge(service, callee)));
        }
        Config::from_vars(service, vars).unwrap()
    }

    async fn add(&mut self, name: &'static str, app: Result<App, StartError>) {
        let running = Running::start(app.unwrap()).await.unwrap();
        self.gateway.open(name, running.url(""));
        self.running.push(running);
    }

    /// The shop as its customers reach it.
    pub fn shop(&self) -> Shop {
        Shop::at(&self.gateway.url).unwrap()
    }

    /// Where customers come in.
    pub fn url(&self) -> &str {
        &self.gateway.url
    }

    /// Lets nobody reach a service.
    pub fn close(&self, service: &'static str) {
        self.gateway.close(service, true);
    }

    /// Lets everybody reach it again.
    pub fn reopen(&self, service: &'static str) {
        self.gateway.close(service, false);
    }

    /// Does what only orders may do.
    pub async fn post_as_orders(&self, service: &str, path: &str, key: &str, body: Value) -> Value {
        let url = self.gateway.edge("orders", service);
        let shop = Shop::at(&url).unwrap();
        let reply = shop.send(shop_load::client::Call::post(path, body).key(key)).await.unwrap();
        reply.expect(path, &[200, 201]).unwrap()
    }
}
