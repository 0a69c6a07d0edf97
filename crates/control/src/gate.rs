//! Whether a release may take another one's place: asked before anything of it is started.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::ServiceSpec;

use crate::release::Release;

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'a> {
    /// The service, as declared.
    pub service: &'a ServiceSpec,
    /// What is in charge; none before the first release.
    pub old: Option<&'a Release>,
    /// What is to take its place. Its [`Release::placed`] has the contract's path.
    pub new: &'a Release,
}

/// Says no to a release.
pub trait Gate: Send + Sync + 'static {
    /// The reasons against it, each a sentence; none lets it pass. An error says that nobody can tell, and fails the deploy.
    fn reasons<'a>(&'a self, proposal: Proposal<'a>) -> BoxFuture<'a, Result<Vec<String>, String>>;
}

/// Lets everything pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Gate for Open {
    fn reasons<'a>(&'a self, _: Proposal<'a>) -> BoxFuture<'a, Result<Vec<String>, String>> {
        async { Ok(vec![]) }.boxed()
    }
}
