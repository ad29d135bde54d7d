//! Services and the peers that calls name, each known by a small number while spans are joined.

use hashbrown::HashMap;

/// A service by the names its resource gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ServiceName {
    /// `service.name`.
    pub(super) name: String,
    /// `service.namespace`; empty without one.
    pub(super) namespace: String,
}

/// What a client or producer span says of the one it calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Peer {
    /// `db.system.name`, and `db.namespace`, else `server.address`, else nothing.
    Database { system: String, name: String },
    /// `messaging.system` and `messaging.destination.name`; one of them may be empty.
    Queue { system: String, destination: String },
    /// `peer.service`.
    Service(String),
    /// `server.address`.
    Host(String),
    /// `rpc.service`.
    Rpc(String),
}

/// Names with their numbers, in the order in which they were met.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    services: Vec<ServiceName>,
    service_numbers: HashMap<ServiceName, u32>,
    peers: Vec<Peer>,
    peer_numbers: HashMap<Peer, u32>,
}

impl Names {
    /// The number of a service.
    pub(super) fn service_number(&mut self, name: ServiceName) -> u32 {
        if let Some(number) = self.service_numbers.get(&name) {
            return *number;
        }
        let number = self.services.len() as u32;
        self.services.push(name.clone());
        self.service_numbers.insert(name, number);
        number
    }

    /// The number of a peer.
    pub(super) fn peer_number(&mut self, peer: Peer) -> u32 {
        if let Some(number) = self.peer_numbers.get(&peer) {
            return *number;
        }
        let number = self.peers.len() as u32;
        self.peers.push(peer.clone());
        self.peer_numbers.insert(peer, number);
        number
    }

    /// The service of a number.
    pub(super) fn service(&self, number: u32) -> &ServiceName {
        &self.services[number as usize]
    }

    /// The peer of a number; `None` for a number that was never given.
    pub(super) fn peer(&self, number: u32) -> Option<&Peer> {
        self.peers.get(number as usize)
    }

    /// The only service with this `service.name`; `None` when there is none, or several in different namespaces.
    pub(super) fn only_service(&self, name: &str) -> Option<u32> {
        let mut found = self.services.iter().enumerate().filter(|(_, service)| service.name == name);
        let (number, _) = found.next()?;
        found.next().is_none().then_some(number as u32)
    }
}
