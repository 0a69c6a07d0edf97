//! Edges to services that speak neither HTTP nor gRPC: bytes are passed on.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use model::Protocol;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::admit;
use crate::attempt::{Way, choose};
use crate::fault::{Code, Fault};
use crate::flight::Flight;
use crate::outlier::Grade;
use crate::pool;
use crate::records::Outcome;
use crate::table::{Kind, Table};
use crate::worker::{View, Worker};

/// The lane of a listener whose service speaks bytes.
pub(crate) fn lane(table: &Table, listener: SocketAddr) -> Option<usize> {
    match table.entries.get(&listener)?.kind {
        Kind::Edge { lane, .. } if table.lanes[lane].protocol == Protocol::Tcp => Some(lane),
        _ => None,
    }
}

/// Connects a client to a replica and passes bytes both ways until both sides have ended. A replica that cannot be
/// reached is replaced by another one once; a client that cannot be connected is disconnected.
pub(crate) async fn forward(
    worker: &Rc<Worker>,
    view: Rc<View>,
    listener: SocketAddr,
    lane: usize,
    mut client: TcpStream,
) {
    let counters = view.entries.get(&listener).map(|entry| entry.counters.clone());
    if let Some(counters) = &counters {
        counters.slot(worker.index).request();
    }
    let edge = Arc::clone(&view.lanes[lane].edge);
    let limit = view.lanes[lane].timeouts.request;
    let way = Way {
        listener,
        view,
        lane,
        deadline: std::time::Instant::now() + limit,
        limit,
        trace: None,
        user: None,
    };
    match reach(worker, way).await {
        Ok((mut replica, _flight)) => {
            edge.signals.of(worker.index).ended(Outcome::Success);
            if let Err(error) = copy_bidirectional(&mut client, &mut replica).await {
                debug!(%error, "a TCP connection broke");
            }
        }
        Err(fault) => {
            warn!(code = fault.code.name(), detail = fault.detail, "a TCP connection is closed");
            edge.signals.refused(worker.index, fault.code);
            edge.signals.of(worker.index).failed(false);
            if let Some(counters) = counters {
                counters.slot(worker.index).failure();
            }
        }
    }
}

async fn reach(worker: &Rc<Worker>, mut way: Way) -> Result<(TcpStream, Flight), Fault> {
    let mut admission = admit::admit(worker, &way.view, way.lane)?;
    let mut except = None;
    for _ in 0..2 {
        // A connection that is not made loses nothing, so it may always be tried.
        let pick = choose(worker, &mut way, except, true).await?;
        let mut flight = Flight::begin(worker, &way, pick);
        let endpoint = flight.endpoint();
        let connect = way.view.lanes[way.lane].timeouts.connect;
        match timeout(connect, pool::dial(endpoint)).await {
            Ok(Ok(stream)) => {
                flight.judge(Some(Grade::Good));
                flight.connected();
                admission.settle(Some(true));
                flight.carry(admission);
                return Ok((stream, flight));
            }
            Ok(Err(error)) => warn!(replica = %endpoint.replica, %error, "cannot connect"),
            Err(_) => warn!(replica = %endpoint.replica, "no connection in time"),
        }
        except = Some(endpoint.id);
        flight.unreachable();
        flight.judge(Some(Grade::Bad));
    }
    admission.settle(Some(false));
    Err(Fault::new(Code::ConnectFailed, "no replica could be reached"))
}
