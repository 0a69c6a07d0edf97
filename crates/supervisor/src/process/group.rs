//! Process groups: one signal for a leader and all that it started.

use std::time::Duration;

use model::{ProcessId, StopSignal};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use super::os;

/// How often a group is looked at while its end is awaited: soon at first, then less often.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);
/// How long the killed members of a crashed leader are awaited. One that hangs in the kernel must not hide the crash.
const REAP: Duration = Duration::from_secs(5);

/// The group that `leader` leads or led; `None` when it cannot be this group any more.
///
/// The kernel gives no new process the id of a group that still has members. So a process that has the leader's pid but
/// another start time proves that the whole group is gone, and must not get a signal that was meant for it.
fn group_of(leader: ProcessId) -> Option<Pid> {
    if os::identify_even_dead(leader.pid).is_some_and(|now| now != leader) {
        return None;
    }
    // 0 and 1 are not groups of ours: kill(2) takes them for "my own group" and "everybody".
    i32::try_from(leader.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

/// Sends a signal to every member of the group. A group that is gone is no error: there is nothing left to end.
/// A process that leads no group gets the signal alone.
pub(super) fn signal(leader: ProcessId, signal: Signal) {
    let Some(group) = group_of(leader) else { return };
    let sent = match kill_process_group(group, signal) {
        Err(Errno::SRCH) if super::alive(&leader) => kill_process(group, signal),
        sent => sent,
    };
    if let Err(error) = sent
        && error != Errno::SRCH
    {
        tracing::warn!(pid = leader.pid, %error, "a signal could not be sent to a process group");
    }
}

/// True while any member, zombies not counted, is left.
pub(super) fn lives(leader: ProcessId) -> bool {
    // The system call is cheap and says "no" for good; it says "yes" for zombies too, so that a "yes" needs the long look.
    group_of(leader).is_some_and(|group| test_kill_process_group(group) != Err(Errno::SRCH))
        && os::group_lives(leader.pid)
}

/// Returns when no member is left.
pub(super) async fn gone(leader: ProcessId) {
    let mut pause = FIRST_LOOK;
    while lives(leader) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Kills what a leader that has ended left of its group.
pub(super) async fn end(leader: ProcessId) {
    signal(leader, Signal::KILL);
    if tokio::time::timeout(REAP, gone(leader)).await.is_err() {
        tracing::warn!(pid = leader.pid, "members of a process group do not end although they were killed");
    }
}

pub(super) fn number(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Kill => Signal::KILL,
    }
}

/// Kills a group when it goes out of scope, so that a dropped future leaves nothing running.
pub(crate) struct KillOnDrop(pub ProcessId);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        signal(self.0, Signal::KILL);
    }
}
