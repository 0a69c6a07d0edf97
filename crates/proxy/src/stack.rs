//! The path of a request, from beginning to end.

use std::rc::Rc;
use std::time::Instant;

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::access::Note;
use crate::activity::Busy;
use crate::admit;
use crate::attempt::{self, Reached};
use crate::conformance::{Sampling, enforce};
use crate::connection::Client;
use crate::fault::{Code, Fault};
use crate::framing;
use crate::headers::{self, Trust};
use crate::hop::Hop;
use crate::identify;
use crate::ids;
use crate::outbound::{self, Outbound, Speech};
use crate::redirect;
use crate::respond::{self, Answer};
use crate::retry;
use crate::table::{Entry, Kind};
use crate::upgrade;

/// Answers a request: with what a replica says, or with the reason why none does.
pub(crate) async fn serve(
    client: &Rc<Client>,
    mut request: Request<Incoming>,
    busy: Busy,
) -> Response<Answer> {
    let arrived = Instant::now();
    // The table that this request sees from here on, whatever comes after it.
    let view = client.worker.view();
    let grpc = headers::is_grpc(request.headers());
    let mut hop = Hop::begin(&client.worker, &view, client.peer.listener, &request, arrived, grpc);
    let version = request.version();
    let entry = view.entries.get(&client.peer.listener);
    let log = entry.and_then(|entry| entry.log.as_ref());
    let mut note = log.map(|log| Note::begin(client, log, &request, arrived));

    let answered = async {
        let entry = identify::identify(entry)?;
        entry.counters.slot(client.worker.index).request();
        identify::verify(client)?;
        identify::settle_host(&mut request)?;
        let length = request.body().size_hint().exact();
        if framing::settle(request.headers_mut(), length).is_err() {
            return Err(Fault::new(
                Code::BadEncoding,
                "the body's length is not clear: chunked is the only transfer coding served",
            ));
        }
        if let Kind::Redirect { gateway } = entry.kind {
            return redirect::answer(&view, gateway, &request);
        }
        let way = identify::find_way(&view, entry, &request, arrived, &client.worker)?;
        let lane = &view.lanes[way.lane];
        hop.enter(way.lane, way.strip);
        identify::check_rate(way.rate, &client.peer, &client.worker)?;

        let wanted = outbound::speech(lane, grpc);
        let user = lane.sticky.as_ref().and_then(|sticky| sticky.number(request.headers()));
        let tunnel = outbound::dress(&mut request, &way, &client.peer, wanted, &mut hop);
        // HTTP/2 has no upgrade.
        let speech = if tunnel.is_some() { Speech::Http1 } else { wanted };
        if let Some(note) = &mut note {
            note.way(way.route, lane.service.as_str());
        }
        let strip = way.strip;
        let mut outbound = Outbound::new(request, way.strip, speech, lane, way.allowed)?;
        if way.enforce {
            enforce::hold(lane, hop.operation(), &mut outbound, way.deadline).await?;
        }
        let admission = admit::admit(&client.worker, &view, way.lane)?;
        let mut look = lane.contract.as_ref().filter(|_| tunnel.is_none()).and_then(|contract| {
            let (caller, now) = (entry.caller(), client.worker.now());
            Sampling::begin(contract, hop.operation(), caller, outbound.head(), now)
        });
        if let Some(copy) = look.as_ref().and_then(Sampling::request) {
            outbound.copy_to(copy);
        }

        let way = attempt::Way {
            listener: client.peer.listener,
            view: Rc::clone(&view),
            lane: way.lane,
            deadline: way.deadline,
            limit: way.limit,
            trace: hop.trace(),
            user,
        };
        // Balance, connect, send; wait for the head of an answer.
        let reached = attempt::run(&client.worker, way, outbound, admission, &mut hop).await?;
        if let Some(look) = &mut look {
            let (answer, endpoint) = (&reached.response, reached.flight.endpoint());
            look.answered(answer.status(), answer.headers(), &endpoint.release);
        }
        if let Some(contract) = lane.contract.as_ref().filter(|_| hop.operation().is_none()) {
            let (method, path) = hop.request();
            let path = path.strip_prefix(strip).unwrap_or(path);
            contract.unknown(method, path, entry.caller(), reached.response.status(), client.worker.now());
        }
        let mut answer = pass_on(client, reached, tunnel)?;
        if let Some(look) = look {
            answer.body_mut().look(look);
        }
        Ok(answer)
    };
    let answered = answered.await;
    if let Some(note) = &mut note {
        note.went(&hop);
    }
    let mut answer = match answered {
        Ok(mut answer) => {
            let grpc_status = if grpc { retry::grpc_status(answer.headers()) } else { None };
            hop.answered(answer.status(), grpc_status);
            answer.body_mut().carry(hop);
            answer
        }
        Err(fault) => {
            hop.refused(fault.code);
            let mut refusal = respond::refuse(&fault, hop.request_id().unwrap_or_else(ids::request_id), grpc);
            if fault.code.ends_connection() && version < Version::HTTP_2 {
                refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            refusal
        }
    };
    // A refusal over gRPC has the status 200.
    let failed = answer.status().is_server_error() || (grpc && answer.body().is_fault());
    if failed && let Some(entry) = entry {
        entry.counters.slot(client.worker.index).failure();
    }
    if let Some(Entry { kind: Kind::Gateway(gateway), .. }) = entry
        && let Some(hsts) = gateway.hsts.as_ref().filter(|_| client.peer.secure)
    {
        // A service that says it itself knows better.
        answer.headers_mut().entry(header::STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
    }
    if let Some(mut note) = note {
        note.answered(&answer);
        answer.body_mut().note(note);
    }
    answer.body_mut().keep(busy);
    answer
}

/// Passes a replica's answer on, or joins the two connections if the replica agreed to speak something else.
fn pass_on(
    client: &Rc<Client>,
    reached: Reached,
    tunnel: Option<OnUpgrade>,
) -> Result<Response<Answer>, Fault> {
    let Reached { mut response, lease, flight } = reached;
    let version = response.version();
    let length = response.body().size_hint().exact();
    if framing::settle(response.headers_mut(), length).is_err() {
        flight.failed();
        let detail =
            format!("{} framed its answer in a way that can be read in two ways", flight.endpoint().replica);
        return Err(Fault::new(Code::BadResponse, detail));
    }
    let agreed = headers::clean(response.headers_mut(), version, Trust::Response);
    if let Some(outside) = &flight.endpoint().outside {
        outside.localize(response.headers_mut());
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(respond::pass(response, lease, flight));
    }
    let (Some(tunnel), Some(protocol)) = (tunnel, agreed) else {
        flight.failed();
        let detail = format!("{} switched protocols without being asked to", flight.endpoint().replica);
        return Err(Fault::new(Code::BadUpgrade, detail));
    };
    let mut headers = std::mem::take(response.headers_mut());
    headers::set_upgrade(&mut headers, protocol);
    upgrade::join(tunnel, hyper::upgrade::on(response), flight, client);
    Ok(respond::switch(headers))
}
