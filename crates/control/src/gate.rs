//! Whether a release may take another one's place: asked before anything of it is started.

use futures_util::future::BoxFuture;
use model::shapes::Shapes;
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
    /// What was called of the service within `deploy.used_within`.
    pub called: Vec<Called>,
}

/// What is said of a release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// The reasons against it, each a sentence; none lets it pass.
    pub reasons: Vec<String>,
    /// What is to be known of it all the same.
    pub notes: Vec<String>,
}

/// What a contract says of its operations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// All of them.
    pub operations: Vec<Operation>,
    /// What requests and answers are to be like.
    pub shapes: Option<Shapes>,
}

/// Knows contracts.
pub trait Gate: Send + Sync + 'static {
    /// Judges a release. An error says that nobody can tell, and fails the deploy.
    fn judge(&self, proposal: Proposal) -> BoxFuture<'_, Result<Judgement, String>>;

    /// What a release's contract says; nothing where there is none, or none that can be read. Blocks.
    fn read(&self, release: &Release) -> Said;
}
