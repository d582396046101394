//! The one task that owns all rooms, connections and sockets.
//!
//! It waits for commands, datagrams and time, and moves everything forward to now. Media has a grid of 20 ms that is
//! counted from the start of the engine, so that the timing of speech never drifts.

mod command;
pub(crate) mod net;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use str0m::net::{Protocol, Receive};
use str0m::{Input, RtcConfig};
use tokio::sync::mpsc;

pub(crate) use command::{Command, Handle, NotDone, Stopped, TooManyRooms};
use net::Net;

use crate::SandboxConfig;
use crate::room::{Entered, Room};
use crate::scenario::Scenario;
use crate::speech::Script;
use crate::wire::ServerMessage;

const TICK: Duration = Duration::from_millis(20);
/// After a stall longer than this, the media grid goes on from now instead of catching up.
const MAX_LAG: Duration = Duration::from_millis(500);
/// How long nothing may be looked at, for the expiry of rooms.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// Senders whose connection is remembered.
const MAX_ROUTES: usize = 10_000;
const MAX_DATAGRAM: usize = 2_000;

/// A point in time, for deadlines and for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) epoch_ms: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), epoch_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}

/// What rooms need of the world.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) net: Net,
    pub(crate) rtc: RtcConfig,
    pub(crate) max_participants: usize,
}

impl Outside {
    pub(crate) fn new(net: Net, max_participants: usize) -> Self {
        let provider = str0m::crypto::from_feature_flags();
        let mut rtc = RtcConfig::new()
            .clear_codecs()
            .enable_opus(true, false)
            // A lost packet holds back two more, not the default of 15: people talk.
            .set_reordering_size_audio(2);
        if let Some(certificate) = provider.dtls_provider.generate_certificate() {
            rtc = rtc.set_dtls_cert(certificate);
        }
        Self { net, rtc: rtc.set_crypto_provider(Arc::new(provider)), max_participants }
    }
}

#[derive(Debug)]
pub(crate) struct Engine {
    commands: mpsc::Receiver<Command>,
    outside: Outside,
    rooms: BTreeMap<String, Room>,
    /// Which guest of which room a datagram's sender was last time.
    routes: HashMap<SocketAddr, (String, String)>,
    max_rooms: usize,
    room_idle: Duration,
    started: Instant,
    /// The next tick of the media grid.
    tick: u64,
}

impl Engine {
    pub(crate) fn new(config: &SandboxConfig, net: Net) -> (Handle, Self) {
        let (sender, commands) = mpsc::channel(1_024);
        let engine = Self {
            commands,
            outside: Outside::new(net, config.max_participants),
            rooms: BTreeMap::new(),
            routes: HashMap::new(),
            max_rooms: config.max_rooms,
            room_idle: config.room_idle,
            started: Instant::now(),
            tick: 0,
        };
        (Handle::new(sender), engine)
    }

    /// Runs until it is told to shut down or nobody can tell it any more.
    pub(crate) async fn run(mut self) {
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            let wake = self.next_wake(Instant::now());
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(Command::ShutDown) => break,
                    Some(command) => self.handle(command),
                },
                () = self.outside.net.readable() => self.read(&mut buffer),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.advance();
        }
        let now = Moment::now();
        for room in self.rooms.values_mut() {
            room.end(now);
        }
    }

    fn handle(&mut self, command: Command) {
        let now = Moment::now();
        let out = &self.outside;
        // Whoever does not wait for the answer any more does not need it.
        match command {
            Command::Put { room, script, reply } => drop(reply.send(self.put(room, *script, now))),
            Command::Delete { room, reply } => {
                let removed = self.rooms.remove(&room).map(|mut room| room.end(now)).is_some();
                let _ = reply.send(removed);
            }
            Command::List { reply } => drop(reply.send(self.rooms.values().map(Room::summary).collect())),
            Command::State { room, reply } => drop(reply.send(self.rooms.get(&room).map(|room| room.state(now)))),
            Command::Log { room, reply } => drop(reply.send(self.rooms.get(&room).map(Room::log))),
            Command::Act { room, action, speech, reply } => {
                let done = match self.rooms.get_mut(&room) {
                    Some(room) => room.act(&action, speech, now, out).map_err(NotDone::Conflict),
                    None => Err(NotDone::NoRoom),
                };
                drop(reply.send(done));
            }
            Command::Enter { room, name, resume, connection, reply } => {
                self.open_unscripted(&room, now);
                let entered = match self.rooms.get_mut(&room) {
                    Some(room) => room.enter(name, resume.as_deref(), connection, now, &self.outside),
                    None => {
                        connection.send(ServerMessage::Error {
                            code: "too_many_rooms",
                            message: "there are as many rooms as this sandbox may have".to_owned(),
                        });
                        Entered::Refused
                    }
                };
                drop(reply.send(entered));
            }
            Command::Heard { room, guest, connection, message } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.heard(&guest, connection, message, now, out);
                }
            }
            Command::Gone { room, guest, connection } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.gone(&guest, connection, now);
                }
            }
            Command::ShutDown => {}
        }
    }

    fn put(&mut self, name: String, script: Script, now: Moment) -> Result<bool, TooManyRooms> {
        let old = self.rooms.remove(&name);
        if old.is_none() && self.rooms.len() >= self.max_rooms {
            return Err(TooManyRooms(self.max_rooms));
        }
        let new = old.is_none();
        if let Some(mut old) = old {
            old.end(now);
        }
        self.rooms.insert(name.clone(), Room::new(name, script, now));
        Ok(new)
    }

    /// A room that nobody scripted exists as soon as somebody enters it, and anew after its end.
    fn open_unscripted(&mut self, name: &str, now: Moment) {
        if self.rooms.get(name).is_some_and(Room::is_over_and_unscripted) {
            self.rooms.remove(name);
        }
        if !self.rooms.contains_key(name) && self.rooms.len() < self.max_rooms {
            let scenario = if name == "hello" { Scenario::hello() } else { Scenario::default() };
            match Script::prepare(scenario, None) {
                Ok(script) => drop(self.rooms.insert(name.to_owned(), Room::unscripted(name.to_owned(), script, now))),
                Err(error) => tracing::error!(%error, "a built-in scenario is broken"),
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) {
        let now = Moment::now();
        let (rooms, routes, outside) = (&mut self.rooms, &mut self.routes, &self.outside);
        outside.net.read(buffer, &mut |source, destination, bytes| {
            let Ok(packet) = Receive::new(Protocol::Udp, source, destination, bytes) else { return };
            let input = Input::Receive(now.instant, packet);
            let known = routes.get(&source).filter(|(room, guest)| {
                rooms.get(room).and_then(|room| room.peer(guest)).is_some_and(|peer| peer.accepts(&input))
            });
            let (room, guest) = match known {
                Some(known) => known.clone(),
                None => {
                    let mut found = rooms.values().filter_map(|r| Some((r.name().to_owned(), r.accepting(&input)?)));
                    let Some(found) = found.next() else { return };
                    if routes.len() >= MAX_ROUTES {
                        routes.clear();
                    }
                    routes.insert(source, found.clone());
                    found
                }
            };
            if let (Some(room), Input::Receive(_, packet)) = (rooms.get_mut(&room), input) {
                room.receive(&guest, packet, now, outside);
            }
        });
    }

    /// Moves everything forward to now.
    fn advance(&mut self) {
        let now = Moment::now();
        let late = now.instant.saturating_duration_since(self.tick_time());
        // The grid rests while nobody needs it: what begins now must not begin in its past.
        if late > MAX_LAG || !self.rooms.values().any(Room::has_voices) {
            let since = now.instant.saturating_duration_since(self.started);
            self.tick = u64::try_from(since.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        }
        for room in self.rooms.values_mut() {
            room.advance(now, &self.outside);
        }
        while self.tick_time() <= now.instant {
            let late = now.instant.saturating_duration_since(self.tick_time()).as_millis();
            let epoch_ms = now.epoch_ms.saturating_sub(u64::try_from(late).unwrap_or(u64::MAX));
            let at = Moment { instant: self.tick_time(), epoch_ms };
            for room in self.rooms.values_mut() {
                room.tick(self.tick, at, now, &self.outside);
            }
            self.tick += 1;
        }
        let idle = self.room_idle;
        self.rooms.retain(|_, room| !room.is_expired(now.instant, idle));
    }

    fn tick_time(&self) -> Instant {
        self.started + Duration::from_millis(self.tick * 20)
    }

    fn next_wake(&self, now: Instant) -> Instant {
        let latest = now + LONGEST_SLEEP;
        let tick = self.rooms.values().any(Room::has_voices).then(|| self.tick_time());
        self.rooms.values().filter_map(Room::next_wake).chain(tick).fold(latest, Instant::min)
    }
}
