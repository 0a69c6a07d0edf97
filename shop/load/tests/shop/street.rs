//! The shop's services in this process, each with a database and a port of its own.

use serde_json::Value;
use service_kit::config::{Config, StartError};
use service_kit::start::App;
use service_kit::testing::Running;
use shop_load::client::Shop;
use tempfile::TempDir;
use testkit::Sagas;

use crate::gateway::Gateway;

/// The admin's address.
pub const ADMIN: &str = "admin@shop.example";
/// The admin's password.
pub const PASSWORD: &str = "a long enough password";

/// The running shop.
pub struct Street {
    gateway: Gateway,
    sagas: Sagas,
    home: TempDir,
    running: Vec<Running>,
}

impl Street {
    /// Opens a shop with the seeded products.
    pub async fn open() -> Self {
        let gateway = Gateway::start().await;
        let sagas = sagas(&gateway).await;
        let mut street = Self { gateway, sagas, home: TempDir::new().unwrap(), running: Vec::new() };
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
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        vars.push(("SAGAS_URL".to_owned(), self.sagas.url.clone()));
        for callee in ["accounts", "catalog", "recommendations"] {
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

    /// Does what only a saga may do.
    pub async fn post_as_saga(&self, service: &str, path: &str, key: &str, body: Value) -> Value {
        let url = self.gateway.edge("isles-sagas", service);
        let shop = Shop::at(&url).unwrap();
        let reply = shop.send(shop_load::client::Call::post(path, body).key(key)).await.unwrap();
        reply.expect(path, &[200, 201]).unwrap()
    }
}

/// The shop's sagas, which reach the services by way of the gateway.
async fn sagas(gateway: &Gateway) -> Sagas {
    let shop = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contracts =
        ["orders", "inventory", "payments"].map(|service| (service, shop.join(service).join("openapi.yaml")));
    let sagas = Sagas::start(&shop.join("sagas"), &contracts, str::to_owned).await;
    for (service, _) in contracts {
        sagas.point(service, &gateway.edge("isles-sagas", service));
    }
    sagas
}
