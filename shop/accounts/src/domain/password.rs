//! Password hashes: argon2id, on a bounded number of threads, in the same time whether the account exists or not.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use service_kit::problem::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Never less than this, whatever the configuration says.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Each running hash takes its memory and a core; more at once would only make all of them later.
const AT_ONCE: usize = 4;
const QUEUE: Duration = Duration::from_secs(5);

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    /// At least the standard cost.
    pub fn new(memory_kib: u32, passes: u32) -> Self {
        Self { memory_kib: memory_kib.max(MEMORY_KIB), passes: passes.max(PASSES) }
    }
}

/// What checking a password found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is not the password.
    Wrong,
    /// It is the password.
    Right,
    /// It is, and it was hashed at a lower cost than today's: keep this hash instead.
    Rehashed(String),
}

/// The right to have one password hashed or checked at a time.
pub struct Turn(#[expect(dead_code, reason = "held, never read")] OwnedSemaphorePermit);

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    cost: Cost,
    turns: Arc<Semaphore>,
    /// Checked in place of the hash of an account that does not exist.
    dummy: Arc<str>,
}

impl Hasher {
    /// A hasher at this cost.
    ///
    /// # Errors
    /// The cost is beyond what argon2 can do.
    pub fn new(cost: Cost) -> Result<Self, Problem> {
        let params = Params::new(cost.memory_kib, cost.passes, LANES, None).map_err(Problem::internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        // Random in place of a hash: checking against it takes all the time, and making it none.
        let encode = |bytes: Vec<u8>| STANDARD_NO_PAD.encode(bytes);
        let (salt, nobodys) = (encode(random(16)?), encode(random(32)?));
        let Cost { memory_kib, passes } = cost;
        let dummy = format!("$argon2id$v=19$m={memory_kib},t={passes},p={LANES}${salt}${nobodys}");
        Ok(Self { argon2, cost, turns: Arc::new(Semaphore::new(AT_ONCE)), dummy: dummy.into() })
    }

    /// Waits for a turn: each check and hash needs one, and what must be counted between checks is done holding it.
    ///
    /// # Errors
    /// 503 when too many are waiting already.
    pub async fn turn(&self) -> Result<Turn, Problem> {
        let turn = tokio::time::timeout(QUEUE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Problem::unavailable("a free turn to check passwords"))?;
        turn.map(Turn).map_err(Problem::internal)
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// argon2 fails.
    pub async fn hash(&self, _turn: &Turn, password: String) -> Result<String, Problem> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.hash_now(&password)).await.map_err(Problem::internal)?
    }

    /// Checks a password against the hash of an account, or in the same time against nobody's if there is none.
    ///
    /// # Errors
    /// argon2 fails.
    pub async fn check(
        &self,
        _turn: &Turn,
        password: String,
        hash: Option<String>,
    ) -> Result<Verdict, Problem> {
        let this = self.clone();
        let verdict = move || {
            let right = this.matches(&password, hash.as_deref().unwrap_or(&this.dummy));
            match hash.filter(|_| right) {
                None => Ok(Verdict::Wrong),
                Some(hash) if this.is_cheaper(&hash) => this.hash_now(&password).map(Verdict::Rehashed),
                Some(_) => Ok(Verdict::Right),
            }
        };
        tokio::task::spawn_blocking(verdict).await.map_err(Problem::internal)?
    }

    fn hash_now(&self, password: &str) -> Result<String, Problem> {
        let salt = SaltString::encode_b64(&random(16)?).map_err(Problem::internal)?;
        let hash = self.argon2.hash_password(password.as_bytes(), &salt).map_err(Problem::internal)?;
        Ok(hash.to_string())
    }

    fn matches(&self, password: &str, hash: &str) -> bool {
        let parsed = PasswordHash::new(hash);
        parsed.is_ok_and(|hash| self.argon2.verify_password(password.as_bytes(), &hash).is_ok())
    }

    fn is_cheaper(&self, hash: &str) -> bool {
        let params = PasswordHash::new(hash).ok().and_then(|hash| Params::try_from(&hash).ok());
        params
            .is_none_or(|params| params.m_cost() < self.cost.memory_kib || params.t_cost() < self.cost.passes)
    }
}

/// So many random bytes.
///
/// # Errors
/// The system has none.
pub fn random(length: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![0; length];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Problem::internal("the system has no randomness"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn checks_and_rehashes() {
        let standard = Hasher::new(Cost::new(0, 0)).unwrap();
        let turn = standard.turn().await.unwrap();
        let hash = standard.hash(&turn, "correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, standard.hash(&turn, "correct horse".into()).await.unwrap());
        let check = |hasher: &Hasher, password: &str, hash: Option<&str>| {
            let (hasher, password, hash) = (hasher.clone(), password.to_owned(), hash.map(str::to_owned));
            async move { hasher.check(&hasher.turn().await.unwrap(), password, hash).await.unwrap() }
        };
        assert_eq!(check(&standard, "correct horse", Some(&hash)).await, Verdict::Right);
        assert_eq!(check(&standard, "wrong", Some(&hash)).await, Verdict::Wrong);
        assert_eq!(check(&standard, "wrong", None).await, Verdict::Wrong);
        assert_eq!(
            PasswordHash::new(&standard.dummy).unwrap().hash.unwrap().len(),
            32,
            "it is checked like a real one"
        );
        assert_eq!(check(&standard, "wrong", Some("not a hash")).await, Verdict::Wrong);
        let costly = Hasher::new(Cost::new(20_000, 3)).unwrap();
        let Verdict::Rehashed(better) = check(&costly, "correct horse", Some(&hash)).await else {
            panic!("a cheaper hash is replaced");
        };
        assert!(better.contains("m=20000,t=3,p=1"));
        assert_eq!(check(&costly, "correct horse", Some(&better)).await, Verdict::Right);
        assert_eq!(check(&standard, "correct horse", Some(&better)).await, Verdict::Right);
    }
}
