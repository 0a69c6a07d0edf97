//! Whether a release may take another one's place: asked before anything of it is started.

use futures_util::future::BoxFuture;
use model::{Operation, ServiceSpec};

use crate::release::Release;
use crate::usage::Called;

/// What is asked about.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The service, as declared.
    pub service: ServiceSpec,
    /// What is in charge; none before the first release.
    pub old: Option<Release>,
    /// What is to take its place. Its [`Release::placed`] has the contract's path.
    pub new: Release,
    /// What was called of the service within the last [`DAYS`].
    pub called: Vec<Called>,
}

/// For so many days a call says that somebody needs an operation.
pub const DAYS: u64 = 7;

/// What is said of a release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// The reasons against it, each a sentence; none lets it pass.
    pub reasons: Vec<String>,
    /// What is to be known of it all the same.
    pub notes: Vec<String>,
}

/// Knows contracts.
pub trait Gate: Send + Sync + 'static {
    /// Judges a release. An error says that nobody can tell, and fails the deploy.
    fn judge(&self, proposal: Proposal) -> BoxFuture<'_, Result<Judgement, String>>;

    /// The operations of a release's contract; none where there is none, or none that can be read. Blocks.
    fn operations(&self, release: &Release) -> Vec<Operation>;
}
