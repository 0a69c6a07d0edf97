//! One customer: registers, signs in, looks around, fills a cart, and buys.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Call, ClientError, Reply, Shop};

/// How often a purchase whose result is unknown is asked for again before it is reported as unknown.
const ASK_AGAIN: u32 = 20;
/// The longest wait before it is asked for again.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Someone with an account.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The address that they sign in with.
    pub email: String,
    /// Their password.
    pub password: String,
    /// Their access token; it is renewed when the shop no longer takes it.
    pub token: String,
}

/// What somebody wants to buy.
#[derive(Debug, Clone)]
pub struct Wish {
    /// SKUs and how many of each.
    pub lines: Vec<(String, u32)>,
    /// How they pay, for example `pm_card_visa`.
    pub payment_method: String,
}

/// How a purchase ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// 201: the order is confirmed.
    Confirmed {
        /// The order's id.
        order_id: String,
    },
    /// The shop refused by one of its rules, for example 402 `payment_declined`; nothing was bought.
    Refused {
        /// The answer's status.
        status: u16,
        /// The problem's code.
        code: String,
    },
    /// 503 `unavailable`: a service that is needed is down; nothing was bought.
    Unavailable,
    /// Nobody could say yet, as often as it was asked. The audit tells later.
    Unknown {
        /// The last answer or fault.
        last: String,
    },
}

/// A purchase: how it ended, and what it took.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// How it ended.
    pub ending: Ending,
    /// The cart that was checked out.
    pub cart_id: String,
    /// From the first to the last checkout request.
    pub checkout_time: Duration,
    /// How often the checkout was asked for.
    pub asked: u32,
}

impl Customer {
    /// Registers a new customer under a random address and signs them in.
    ///
    /// # Errors
    /// The shop does not answer, or not as the contract says.
    pub async fn register(shop: &Shop, name: &str) -> Result<Self, ClientError> {
        let email = format!("{}@customers.example", Uuid::new_v4().simple());
        let password = format!("long enough {}", Uuid::new_v4().simple());
        let body = json!({"email": email, "password": password, "name": name});
        let reply = patient(|| shop.send(Call::post("/api/accounts/register", body.clone()))).await?;
        // A repeat after a lost answer finds the address taken by ourselves.
        reply.expect("register", &[201, 409])?;
        let mut customer = Self { email, password, token: String::new() };
        customer.sign_in(shop).await?;
        Ok(customer)
    }

    /// Signs in (again).
    ///
    /// # Errors
    /// The shop does not answer, or not as the contract says.
    pub async fn sign_in(&mut self, shop: &Shop) -> Result<(), ClientError> {
        let body = json!({"email": self.email, "password": self.password});
        let reply = patient(|| shop.send(Call::post("/api/accounts/sessions", body.clone()))).await?;
        let session = reply.expect("sign in", &[200, 201])?;
        self.token = session["access_token"].as_str().unwrap_or_default().to_owned();
        Ok(())
    }

    /// Sends a signed request; signs in once more if the token has ended.
    async fn send(&mut self, shop: &Shop, call: Call<'_>) -> Result<Reply, ClientError> {
        let reply = shop.send(call.clone().token(&self.token)).await?;
        if reply.status != 401 {
            return Ok(reply);
        }
        self.sign_in(shop).await?;
        shop.send(call.token(&self.token)).await
    }
}

/// Repeats what may be repeated while the shop is too busy or not there (429, 502, 503, 504) or says nothing.
async fn patient<F>(mut ask: impl FnMut() -> F) -> Result<Reply, ClientError>
where
    F: Future<Output = Result<Reply, ClientError>>,
{
    let mut asked = 0;
    loop {
        asked += 1;
        let answer = ask().await;
        let wait = match &answer {
            Ok(reply) if matches!(reply.status.as_u16(), 429 | 502 | 503 | 504) => {
                pause(asked, reply.retry_after)
            }
            Ok(_) => return answer,
            Err(_) => pause(asked, None),
        };
        if asked >= ASK_AGAIN {
            return answer;
        }
        tokio::time::sleep(wait).await;
    }
}

/// How long to wait before asking again: what the shop says, else longer each time.
fn pause(asked: u32, retry_after: Option<u64>) -> Duration {
    let own = Duration::from_millis(50).saturating_mul(1 << asked.min(6));
    retry_after.map_or(own, Duration::from_secs).min(LONGEST_WAIT)
}

/// Looks around as a visitor does: a list, a search, a product's page.
///
/// # Errors
/// The shop does not answer, or not as the contract says.
pub async fn browse(shop: &Shop, query: &str) -> Result<Vec<Value>, ClientError> {
    let body =
        shop.send(Call::get("/api/catalog/products?limit=50")).await?.expect("list products", &[200])?;
    let products = body["items"].as_array().cloned().unwrap_or_default();
    let search = format!("/api/catalog/products?q={query}");
    shop.send(Call::get(&search)).await?.expect("search products", &[200])?;
    if let Some(id) = products.first().and_then(|product| product["id"].as_str()) {
        shop.send(Call::get(&format!("/api/catalog/products/{id}"))).await?.expect("read product", &[200])?;
    }
    Ok(products)
}

/// Fills the customer's cart with exactly the wished lines and gives its id and total.
///
/// # Errors
/// The shop does not answer, or not as the contract says.
pub async fn fill_cart(
    shop: &Shop,
    customer: &mut Customer,
    lines: &[(String, u32)],
) -> Result<(String, Value), ClientError> {
    let reply = customer.send(shop, Call::post("/api/orders/carts", json!({}))).await?;
    let mut cart = reply.expect("open cart", &[200, 201])?;
    let id = cart["id"].as_str().unwrap_or_default().to_owned();
    let left_over: Vec<String> = cart["lines"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|line| line["sku"].as_str())
        .filter(|sku| lines.iter().all(|(wished, _)| wished != sku))
        .map(str::to_owned)
        .collect();
    let removals = left_over.into_iter().map(|sku| (sku, 0));
    for (sku, quantity) in removals.chain(lines.iter().cloned()) {
        let path = format!("/api/orders/carts/{id}/lines/{sku}");
        let reply = customer.send(shop, Call::put(&path, json!({"quantity": quantity}))).await?;
        cart = reply.expect("set cart line", &[200])?;
    }
    Ok((id, cart["total"].clone()))
}

/// One whole purchase by a signed-in customer: fills the cart and checks it out. A checkout whose answer is lost or says that the
/// result is not known yet is asked again with the same `Idempotency-Key`, as a careful client does.
///
/// # Errors
/// The shop does not answer while the cart is filled, or gives an answer that the contract does not know.
pub async fn customer_buys(
    shop: &Shop,
    customer: &mut Customer,
    wish: &Wish,
) -> Result<Purchase, ClientError> {
    let (cart_id, total) = fill_cart(shop, customer, &wish.lines).await?;
    let body = json!({"cart_id": cart_id, "payment_method": wish.payment_method, "expected_total": total});
    check_out(shop, customer, cart_id, body).await
}

/// Checks a cart out, asking again with one key until the result is known.
async fn check_out(
    shop: &Shop,
    customer: &mut Customer,
    cart_id: String,
    body: Value,
) -> Result<Purchase, ClientError> {
    let key = Uuid::new_v4().to_string();
    let began = Instant::now();
    let mut asked = 0;
    let ending = loop {
        asked += 1;
        let call = Call::post("/api/orders/checkout", body.clone()).key(&key);
        let (last, wait) = match customer.send(shop, call).await {
            Ok(reply) => match judge(&reply)? {
                Some(ending) => break ending,
                None => (reply.unexpected("checkout").to_string(), pause(asked, reply.retry_after)),
            },
            Err(lost @ ClientError::NoAnswer { .. }) => (lost.to_string(), pause(asked, None)),
            Err(other) => return Err(other),
        };
        if asked >= ASK_AGAIN {
            break Ending::Unknown { last };
        }
        tokio::time::sleep(wait).await;
    };
    Ok(Purchase { ending, cart_id, checkout_time: began.elapsed(), asked })
}

/// What a checkout's answer means; `None` when it has to be asked again.
fn judge(reply: &Reply) -> Result<Option<Ending>, ClientError> {
    let refused = || Ending::Refused { status: reply.status.as_u16(), code: reply.code().to_owned() };
    match (reply.status.as_u16(), reply.code()) {
        (201, _) => match reply.body["id"].as_str() {
            Some(id) => Ok(Some(Ending::Confirmed { order_id: id.to_owned() })),
            None => Err(reply.unexpected("checkout (no order id)")),
        },
        (409, "request_in_flight") | (429, _) | (502 | 504, _) | (503, "checkout_unfinished") => Ok(None),
        (503, "unavailable") => Ok(Some(Ending::Unavailable)),
        // Whoever answers 503 without that code, a proxy for one, does not know what became of the request.
        (503, _) => Ok(None),
        (402 | 409, code) if !code.is_empty() => Ok(Some(refused())),
        _ => Err(reply.unexpected("checkout")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: Value) -> Reply {
        let status = reqwest::StatusCode::from_u16(status).unwrap();
        Reply { status, body, retry_after: None }
    }

    #[test]
    fn every_answer_to_a_checkout_is_judged() {
        let confirmed = judge(&reply(201, json!({"id": "o1"}))).unwrap();
        assert_eq!(confirmed, Some(Ending::Confirmed { order_id: "o1".into() }));
        let declined = judge(&reply(402, json!({"code": "payment_declined"}))).unwrap();
        assert_eq!(declined, Some(Ending::Refused { status: 402, code: "payment_declined".into() }));
        assert_eq!(judge(&reply(503, json!({"code": "checkout_unfinished"}))).unwrap(), None);
        assert_eq!(judge(&reply(503, json!({"code": "unavailable"}))).unwrap(), Some(Ending::Unavailable));
        assert_eq!(judge(&reply(503, Value::Null)).unwrap(), None);
        assert_eq!(judge(&reply(409, json!({"code": "request_in_flight"}))).unwrap(), None);
        for status in [200, 400, 404, 422, 500] {
            assert!(judge(&reply(status, json!({"code": "x"}))).is_err(), "{status}");
        }
        assert!(judge(&reply(201, json!({}))).is_err());
    }

    #[test]
    fn waiting_grows_and_is_bounded() {
        assert!(pause(1, None) < pause(3, None));
        assert_eq!(pause(30, None), LONGEST_WAIT);
        assert_eq!(pause(1, Some(3600)), LONGEST_WAIT);
    }
}
