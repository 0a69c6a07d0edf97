//! Whose a connection is, on Linux: the kernel tells the socket's inode, `/proc` who holds it.
//!
//! First the processes that lead the caller's replicas are looked at, and those that were found to be the caller's
//! before; mostly that is all. Only for what nobody of these holds, every process of the socket's user is looked at.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;

use model::{ProcessId, ServiceName};
use tracing::{debug, warn};

use super::process::{self, Stat};
use super::socket::{Diag, Held};
use super::{Processes, Question, Verdict};

/// So many processes are remembered for a service that were found to be its own.
const REMEMBERED: usize = 64;
/// How far a process's ancestors are followed.
const ANCESTORS: usize = 64;

pub(super) fn try_out(client: SocketAddr, edge: SocketAddr) -> io::Result<()> {
    let held = Diag::open()?.find(client, edge)?.ok_or(io::ErrorKind::NotFound)?;
    match process::holds(std::process::id(), &HashSet::from([held.inode])).as_slice() {
        [] => Err(io::Error::other("/proc does not show what a process has open")),
        _ => Ok(()),
    }
}

#[derive(Debug, Default)]
pub(super) struct System {
    diag: Option<Diag>,
    /// Nobody can be verified here.
    broken: bool,
    /// Processes beside the replicas' first ones that were the caller's.
    known: HashMap<ServiceName, Vec<ProcessId>>,
}

impl System {
    pub(super) fn answer(&mut self, questions: Vec<Question>) {
        let mut open: HashMap<ServiceName, Vec<(Question, Held)>> = HashMap::new();
        for question in questions {
            match self.find(&question) {
                Ok(held) => open.entry(question.caller.clone()).or_default().push((question, held)),
                // Whoever asked may have gone.
                Err(verdict) => drop(question.answer.send(verdict)),
            }
        }
        for (caller, mut asked) in open {
            self.known_holders(&caller, &mut asked);
            if !asked.is_empty() {
                self.anybody(&caller, asked);
            }
        }
    }

    /// The client's socket; or a verdict, where there is nothing to look for.
    fn find(&mut self, question: &Question) -> Result<Held, Verdict> {
        let Some(diag) = self.diag() else { return Err(Verdict::Accepted) };
        match diag.find(question.client, question.edge) {
            Ok(Some(held)) if held.inode != 0 && may_look_at(held.uid) => Ok(held),
            Ok(Some(held)) if held.inode != 0 => Err(unseen(question, held)),
            Ok(_) => Err(Verdict::Abandoned),
            Err(error) => {
                debug!(%error, "the kernel did not tell whose a connection is");
                self.diag = None;
                Err(Verdict::Accepted)
            }
        }
    }

    /// A way to ask that was seen to work: a kernel without it says of every socket that there is none.
    fn diag(&mut self) -> Option<&mut Diag> {
        if self.diag.is_none() && !self.broken {
            match super::can_verify().and_then(|()| Diag::open()) {
                Ok(diag) => self.diag = Some(diag),
                Err(error) => {
                    self.broken = true;
                    warn!(%error, "this system does not tell whose a connection is: callers are not verified");
                }
            }
        }
        self.diag.as_mut()
    }

    /// Accepts what the caller's own processes hold.
    fn known_holders(&mut self, caller: &ServiceName, asked: &mut Vec<(Question, Held)>) {
        let known = self.known.entry(caller.clone()).or_default();
        known.retain(|p| process::stat(p.pid).is_some_and(|stat| stat.process == *p));
        let leaders: HashSet<u32> =
            asked.iter().flat_map(|(q, _)| leaders(&q.processes, caller)).map(|p| p.pid).collect();
        for pid in leaders.into_iter().chain(known.iter().map(|p| p.pid)) {
            let wanted: HashSet<u32> = asked.iter().map(|(_, held)| held.inode).collect();
            if wanted.is_empty() {
                return;
            }
            let held: HashSet<u32> = process::holds(pid, &wanted).into_iter().collect();
            for (question, _) in asked.extract_if(.., |(_, socket)| held.contains(&socket.inode)) {
                let _ = question.answer.send(Verdict::Accepted);
            }
        }
    }

    /// Looks at every process that could hold these sockets.
    fn anybody(&mut self, caller: &ServiceName, asked: Vec<(Question, Held)>) {
        let mut holders: HashMap<u32, Vec<u32>> = HashMap::new();
        let users: HashSet<u32> = asked.iter().map(|(_, held)| held.uid).collect();
        let wanted: HashSet<u32> = asked.iter().map(|(_, held)| held.inode).collect();
        for pid in users.into_iter().flat_map(process::of_user) {
            for inode in process::holds(pid, &wanted) {
                holders.entry(inode).or_default().push(pid);
            }
        }
        for (question, held) in asked {
            let pids = holders.get(&held.inode).map(Vec::as_slice).unwrap_or_default();
            let verdict = self.judge(caller, &question, held, pids);
            let _ = question.answer.send(verdict);
        }
    }

    fn judge(&mut self, caller: &ServiceName, question: &Question, held: Held, pids: &[u32]) -> Verdict {
        if pids.is_empty() {
            return unseen(question, held);
        }
        for pid in pids {
            if let Some(own) = is_callers(*pid, caller, &question.processes) {
                let known = self.known.entry(caller.clone()).or_default();
                if known.len() < REMEMBERED {
                    known.push(own);
                }
                return Verdict::Accepted;
            }
        }
        if pids.iter().any(|pid| *pid == std::process::id() || process::is_contained(*pid)) {
            return Verdict::Accepted;
        }
        // The last one: a socket that is inherited is mostly used by the youngest.
        let pid = pids.iter().copied().max().unwrap_or_default();
        Verdict::Refused(format!("process {pid} (`{}`) is not one of {caller}'s", process::name(pid)))
    }
}

/// Nobody holds it who may be looked at. Another user's socket is not the caller's; one of this user, or of root, is
/// given the benefit of the doubt: its process has ended just now, hides, or is in a container of its own.
fn unseen(question: &Question, held: Held) -> Verdict {
    let user = rustix::process::geteuid().as_raw();
    if held.uid == user || held.uid == 0 {
        return Verdict::Accepted;
    }
    Verdict::Refused(format!("a process of user {} is not one of {}'s", held.uid, question.caller))
}

/// Whether this process may read what a user's processes hold.
fn may_look_at(uid: u32) -> bool {
    let own = rustix::process::geteuid();
    own.is_root() || own.as_raw() == uid
}

fn leaders<'a>(processes: &'a Processes, service: &ServiceName) -> &'a [ProcessId] {
    processes.by_service.get(service).map(Vec::as_slice).unwrap_or_default()
}

/// The process, if it belongs to the caller: it leads a replica, is in the process group of one, descends from one, or
/// was started with the caller's mark and descends from no other service.
fn is_callers(pid: u32, caller: &ServiceName, processes: &Processes) -> Option<ProcessId> {
    let own = process::stat(pid)?;
    let leads = |stat: &Stat, service: &ServiceName| {
        leaders(processes, service).iter().any(|p| *p == stat.process || p.pid == stat.group)
    };
    let mut next = Some(own);
    for _ in 0..ANCESTORS {
        let Some(stat) = next else { break };
        if leads(&stat, caller) {
            return Some(own.process);
        }
        if processes.by_service.keys().any(|service| leads(&stat, service)) {
            return None;
        }
        next = if stat.parent > 1 { process::stat(stat.parent) } else { None };
    }
    process::is_marked(pid, &processes.app, caller.as_str()).then_some(own.process)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Instant;

    use tokio::sync::oneshot;

    use super::*;

    fn own_processes(service: &str) -> Arc<Processes> {
        let own = process::stat(std::process::id()).unwrap().process;
        let by_service = [(service.parse().unwrap(), vec![own])].into();
        Arc::new(Processes { app: "app".to_owned(), by_service })
    }

    fn question(client: &TcpStream, processes: &Arc<Processes>) -> (Question, oneshot::Receiver<Verdict>) {
        let (answer, answered) = oneshot::channel();
        let (client, edge) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let caller = "web".parse().unwrap();
        (Question { client, edge, caller, processes: Arc::clone(processes), answer }, answered)
    }

    #[test]
    fn a_socket_that_its_process_has_closed_is_abandoned() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (asked, mut answered) = question(&client, &own_processes("web"));
        let accepted = listener.accept().unwrap();
        drop(client);
        System::default().answer(vec![asked]);
        assert_eq!(answered.try_recv(), Ok(Verdict::Abandoned));
        drop(accepted);
    }

    /// Prints what docs/edges.md says that it costs.
    #[test]
    #[ignore = "measures"]
    fn what_it_costs() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let edge = listener.local_addr().unwrap();
        for open in [16, 128, 1024] {
            let pairs: Vec<_> = (0..open / 2)
                .map(|_| (TcpStream::connect(edge).unwrap(), listener.accept().unwrap()))
                .collect();
            let mut system = System::default();
            for (whose, service) in [("a leader's", "web"), ("somebody's", "other")] {
                for together in [1, 16] {
                    let processes = own_processes(service);
                    let (mut rounds, begun) = (0_u32, Instant::now());
                    while begun.elapsed().as_millis() < 500 {
                        let asked =
                            pairs.iter().cycle().take(together).map(|(c, _)| question(c, &processes).0);
                        system.answer(asked.collect());
                        rounds += 1;
                    }
                    let each = begun.elapsed() / rounds / u32::try_from(together).unwrap();
                    println!("{whose}, {open} files open, {together} at once: {each:?} for each connection");
                }
            }
        }
    }
}
