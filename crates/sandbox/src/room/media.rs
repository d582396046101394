//! The audio of a room's guests: offers, datagrams, and microphones passed on to the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use str0m::Input;
use str0m::media::{Frequency, MediaData};
use str0m::net::Receive;

use super::Room;
use super::guest::Guest;
use crate::engine::{Moment, Outside};
use crate::log::LogEvent;
use crate::peer::{Peer, PeerEvent};
use crate::speech::Packet;
use crate::wire::ServerMessage;

/// Rounds of one pump. What one peer hands to another is polled in the next round, so two are enough for what arrived;
/// more come only from peers that never rest.
const ROUNDS: usize = 8;

impl Room {
    /// The connection of a guest.
    pub(crate) fn peer(&self, guest: &str) -> Option<&Peer> {
        self.guests.get(guest)?.peer.as_ref()
    }

    /// Whom a datagram is for.
    pub(crate) fn accepting(&self, input: &Input<'_>) -> Option<String> {
        let mut guests = self.guests.values();
        guests.find(|guest| guest.peer.as_ref().is_some_and(|peer| peer.accepts(input))).map(|guest| guest.id.clone())
    }

    /// Takes a datagram for a guest.
    pub(crate) fn receive(&mut self, guest: &str, packet: Receive<'_>, now: Moment, out: &Outside) {
        if let Some(peer) = self.guests.get_mut(guest).and_then(|guest| guest.peer.as_mut()) {
            peer.receive(now.instant, packet);
            self.pump(now, out);
        }
    }

    /// Gives a guest a new connection; its page learns of it by the next offer.
    pub(super) fn connect_media(&mut self, guest: &str, now: Moment, out: &Outside) {
        let wants = |guest: &&mut Guest| guest.connection.as_ref().is_some_and(|connection| connection.media);
        if let Some(guest) = self.guests.get_mut(guest).filter(wants) {
            guest.sessions += 1;
            guest.peer = Some(Peer::new(&out.rtc, out.net.candidates(), guest.sessions, now.instant));
            guest.renegotiate = true;
        }
    }

    /// Offers to every guest that hears others than it should.
    pub(super) fn negotiate(&mut self, now: Moment) {
        if !self.guests.values().any(|guest| guest.renegotiate && guest.peer.is_some()) {
            return;
        }
        let guests: Vec<String> = self.guests.values().filter(|g| g.is_in_call()).map(|g| g.id.clone()).collect();
        let call: BTreeSet<&str> = self.voices.keys().chain(&guests).map(String::as_str).collect();
        for guest in self.guests.values_mut() {
            let Some(peer) = guest.peer.as_mut().filter(|_| guest.renegotiate) else { continue };
            guest.renegotiate = false;
            let mut others = call.clone();
            others.remove(guest.id.as_str());
            if let Some(offer) = peer.negotiate(&others) {
                let session = peer.session;
                peer.next = now.instant;
                guest.tell(ServerMessage::Offer { session, sdp: offer.sdp, mic: offer.mic });
            }
        }
    }

    /// Moves connections forward until nothing is left to do now.
    pub(super) fn pump(&mut self, now: Moment, out: &Outside) {
        for _ in 0..ROUNDS {
            let mut events = Vec::new();
            for guest in self.guests.values_mut() {
                let Some(peer) = guest.peer.as_mut().filter(|peer| peer.next <= now.instant) else { continue };
                let mut own = Vec::new();
                peer.poll(now.instant, &mut |packet| out.net.send(packet), &mut own);
                events.extend(own.into_iter().map(|event| (guest.id.clone(), event)));
            }
            if events.is_empty() {
                return;
            }
            for (guest, event) in events {
                self.media_event(&guest, event, now);
            }
        }
    }

    fn media_event(&mut self, id: &str, event: PeerEvent, now: Moment) {
        match event {
            PeerEvent::Connected => {
                if let Some(session) = self.peer(id).map(|peer| peer.session) {
                    self.note(now, LogEvent::MediaConnected { id: id.to_owned(), session });
                }
            }
            PeerEvent::Failed => {
                // The page sees it too, and asks for a new one.
                if let Some(guest) = self.guests.get_mut(id) {
                    guest.peer = None;
                }
            }
            PeerEvent::Audio(data) => self.pass_on(id, &data, now),
        }
    }

    /// What one guest says is sent to all others; silence in its place while its microphone is off.
    fn pass_on(&mut self, id: &str, data: &MediaData, now: Moment) {
        let Some(speaker) = self.guests.get_mut(id) else { return };
        let Some(session) = speaker.peer.as_ref().map(|peer| peer.session) else { return };
        let time = data.time.rebase(Frequency::FORTY_EIGHT_KHZ).numer();
        let time = speaker.mic_line.place(session, time, now.instant);
        let packet = if speaker.mic {
            Packet { data: data.data.clone(), level: data.ext_vals.audio_level.unwrap_or(0) }
        } else {
            Packet::silence()
        };
        for (_, guest) in self.guests.iter_mut().filter(|(other, _)| *other != id) {
            if let Some(peer) = &mut guest.peer {
                peer.send(id, now.instant, time, packet.level, Arc::clone(&packet.data));
            }
        }
    }
}
