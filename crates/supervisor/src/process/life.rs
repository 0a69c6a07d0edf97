//! One process group from now to its end, whether its leader is our child or was adopted.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use model::{ProcessId, StopPolicy, StopSignal};
use rustix::process::Signal;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::group;

/// How often an adopted process is looked at where the system cannot tell us of its end.
const LOOK: Duration = Duration::from_millis(200);
/// More grace than this is as good as for ever, and would not fit into a clock.
const LONGEST_GRACE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The leader of a group, and how its end is noticed.
pub(crate) enum Leader {
    /// Our child: the kernel tells us how it ended.
    Child(Child),
    /// Somebody else's child, watched by a pidfd.
    Watched(AsyncFd<OwnedFd>),
    /// Somebody else's child, looked at from time to time.
    Polled,
}

/// How a leader ended, as far as could be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
    /// Only a parent is told how a process ended.
    Unseen,
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unseen,
        }
    }
}

impl Leader {
    /// The living process `p`, to be watched; `None` when it does not live.
    pub fn find(p: ProcessId) -> Option<Self> {
        let watched = Self::watch(p.pid);
        // Only now: what the pidfd holds is then certainly the process that was meant.
        super::alive(&p).then_some(watched)
    }

    #[cfg(target_os = "linux")]
    #[expect(
        deprecated,
        reason = "sound here: an OwnedFd keeps its descriptor open; the successor needs unsafe"
    )]
    fn watch(pid: u32) -> Self {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
            .and_then(|fd| AsyncFd::new(fd).ok())
            .map_or(Self::Polled, Self::Watched)
    }

    #[cfg(not(target_os = "linux"))]
    fn watch(_pid: u32) -> Self {
        Self::Polled
    }

    /// Cancel-safe.
    pub async fn ended(&mut self, p: ProcessId) -> End {
        let poll = match self {
            Self::Child(child) => match child.wait().await {
                Ok(status) => return status.into(),
                Err(_) => true,
            },
            // A pidfd is readable when its process has ended; zombies included.
            Self::Watched(fd) => fd.readable().await.is_err(),
            Self::Polled => true,
        };
        while poll && super::alive(&p) {
            sleep(LOOK).await;
        }
        End::Unseen
    }
}

/// Watches the group of `p` until the leader and every member are gone.
///
/// A leader that ends unasked takes what is left of its group with it. After an order to stop, the whole group gets the
/// signal and the grace, and what is left then is killed. Dropping this future leaves the processes alone.
pub(crate) async fn live(p: ProcessId, mut leader: Leader, order: oneshot::Receiver<StopPolicy>) -> End {
    let unasked = async {
        match order.await {
            Ok(policy) => policy,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        end = leader.ended(p) => {
            group::end(p).await;
            end
        }
        policy = unasked => stop(p, leader, policy).await,
    }
}

async fn stop(p: ProcessId, mut leader: Leader, policy: StopPolicy) -> End {
    let deadline = match policy.signal {
        StopSignal::Kill => Instant::now(),
        _ => Instant::now() + policy.grace.min(LONGEST_GRACE),
    };
    group::signal(p, group::number(policy.signal));
    let in_grace = tokio::select! {
        end = async { let end = leader.ended(p).await; group::gone(p).await; end } => Some(end),
        () = sleep_until(deadline) => None,
    };
    if let Some(end) = in_grace {
        return end;
    }
    group::signal(p, Signal::KILL);
    let end = leader.ended(p).await;
    group::gone(p).await;
    end
}
