//! Where the gateway and the edges listen, and what is done when somebody else has taken an address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use model::DesiredState;

use crate::control::StartError;
use crate::inner::Inner;
use crate::ports;
use crate::store::{EdgeKey, Store};
use crate::world::World;

/// A gateway with port 0 gets a free one, and keeps it for as long as a data plane listens there, or could.
pub(crate) fn open_port(desired: &mut DesiredState, store: &Store, running: bool) -> Result<(), StartError> {
    let Some(gateway) = desired.gateway.as_mut().filter(|g| g.listen.port() == 0) else { return Ok(()) };
    let usable = |a: &SocketAddr| running || std::net::TcpListener::bind(a).is_ok();
    let known = store.gateway()?.filter(|a| a.ip() == gateway.listen.ip() && usable(a));
    gateway.listen = match known {
        Some(address) => address,
        None => {
            let free = ports::free(&BTreeSet::new());
            let free =
                free.map_err(|source| StartError::Io { what: "no port for the gateway".to_owned(), source })?;
            SocketAddr::new(gateway.listen.ip(), free.port())
        }
    };
    Ok(store.set_gateway(gateway.listen)?)
}

/// A gateway that takes any port keeps the one that it has.
pub(crate) fn keep_port(desired: &mut DesiredState, before: &DesiredState) {
    if let (Some(new), Some(old)) = (&mut desired.gateway, &before.gateway)
        && new.listen.port() == 0
        && new.listen.ip() == old.listen.ip()
    {
        new.listen = old.listen;
    }
}

/// Each edge keeps the address that it had: a service that runs on has it in its environment.
pub(crate) fn edge_addresses(
    desired: &DesiredState,
    inner: &Inner,
    known: &BTreeMap<EdgeKey, SocketAddr>,
) -> std::io::Result<BTreeMap<EdgeKey, SocketAddr>> {
    // What the manifest fixes is nobody else's, however long somebody else has had it.
    let gateway = desired.gateway.iter().map(|g| g.listen);
    let fixed: BTreeSet<SocketAddr> = desired.edges().filter_map(|e| e.call.listen).chain(gateway).collect();
    let mut taken: BTreeSet<SocketAddr> = known.values().chain(&fixed).copied().collect();
    let mut edges = BTreeMap::new();
    for edge in desired.edges() {
        let key = (edge.caller.name.clone(), edge.call.callee.clone());
        let address = match (edge.call.listen, known.get(&key)) {
            (Some(fixed), _) => fixed,
            (None, Some(address)) if !fixed.contains(address) => *address,
            (None, _) => ports::free(&taken)?,
        };
        taken.insert(address);
        edges.insert(key, address);
    }
    for key in inner.edges(desired) {
        let known = known.get(&key).filter(|a| !fixed.contains(a));
        let address = known.copied().map_or_else(|| ports::free(&taken), Ok)?;
        taken.insert(address);
        edges.insert(key, address);
    }
    // What is no longer declared stays for the processes that were told its address; `data_plane` lets it go after them.
    for (key, address) in known {
        if desired.services.contains_key(&key.0) && !fixed.contains(address) {
            edges.entry(key.clone()).or_insert(*address);
        }
    }
    Ok(edges)
}

/// Gives new addresses to edges whose address somebody took, and new processes to those who were told the old one.
///
/// An address that the manifest fixes stays: it is reported.
pub(crate) fn move_edges(world: &World, failed: &BTreeMap<SocketAddr, String>) -> Result<(), StartError> {
    let fixed: BTreeSet<SocketAddr> = world.desired.get().edges().filter_map(|e| e.call.listen).collect();
    let mut edges = BTreeMap::clone(&world.edges.get());
    let mut taken: BTreeSet<SocketAddr> = edges.values().copied().chain(failed.keys().copied()).collect();
    for ((caller, _), address) in
        edges.iter_mut().filter(|(_, a)| failed.contains_key(a) && !fixed.contains(a))
    {
        let free = ports::free(&taken);
        *address =
            free.map_err(|source| StartError::Io { what: "no address for an edge".to_owned(), source })?;
        taken.insert(*address);
        world.order_restart(caller)?;
    }
    world.store.set_edges(&edges)?;
    world.edges.set(Arc::new(edges));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{desired, service};

    #[test]
    fn an_address_that_the_manifest_fixes_is_taken_from_whoever_had_it() {
        let fixed: SocketAddr = "127.0.0.2:8080".parse().unwrap();
        let mut storefront = service("storefront", &["catalogue"]);
        storefront.calls[0].listen = Some(fixed);
        let orders = service("orders", &["catalogue"]);
        let desired = desired([orders, storefront, service("catalogue", &[])]);
        let key = |caller: &str| (caller.parse().unwrap(), "catalogue".parse().unwrap());
        let known = [(key("orders"), fixed)].into();
        let edges = edge_addresses(&desired, &Inner::default(), &known).unwrap();
        assert_eq!(edges[&key("storefront")], fixed);
        assert_ne!(edges[&key("orders")], fixed);

        let again = edge_addresses(&desired, &Inner::default(), &edges).unwrap();
        assert_eq!(again, edges, "what an edge has, it keeps");
    }

    #[test]
    fn an_edge_outlives_its_declaration_but_not_its_caller() {
        let both = desired([service("web", &["api"]), service("jobs", &["api"]), service("api", &[])]);
        let known = edge_addresses(&both, &Inner::default(), &BTreeMap::new()).unwrap();
        let less = desired([service("web", &[]), service("api", &[])]);
        let kept = edge_addresses(&less, &Inner::default(), &known).unwrap();
        let key = ("web".parse().unwrap(), "api".parse().unwrap());
        assert_eq!(kept, [(key.clone(), known[&key])].into());
    }
}
