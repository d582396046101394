//! One guest's WebRTC connection, without sockets and clocks.
//!
//! Only this side makes offers, so there is no glare: the page answers. The first m-line takes the page's microphone,
//! each further one brings the audio of one participant, whose id is the id of the MediaStream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, Frequency, MediaData, MediaKind, MediaTime, Mid};
use str0m::net::{Receive, Transmit};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};

/// One connection of one guest.
#[derive(Debug)]
pub(crate) struct Peer {
    rtc: Rtc,
    /// Counts the connections of a guest.
    pub(crate) session: u32,
    mic: Option<Mid>,
    tracks: BTreeMap<String, Track>,
    pending: Option<SdpPendingOffer>,
    connected: bool,
    /// When it must be polled again at the latest.
    pub(crate) next: Instant,
}

#[derive(Debug)]
struct Track {
    mid: Mid,
    /// The page has answered the offer with it.
    open: bool,
}

/// An offer to send to the page.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) sdp: String,
    pub(crate) mic: String,
}

/// What came out of a connection.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    Connected,
    /// It will not work any more.
    Failed,
    Audio(Box<MediaData>),
}

impl Peer {
    pub(crate) fn new(config: &RtcConfig, candidates: &[Candidate], session: u32, now: Instant) -> Self {
        let mut rtc = config.clone().build(now);
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        Self { rtc, session, mic: None, tracks: BTreeMap::new(), pending: None, connected: false, next: now }
    }

    /// An offer that makes the page hear exactly `wanted`, if it does not do so yet. None too while an answer is
    /// awaited: ask again after it.
    pub(crate) fn negotiate(&mut self, wanted: &BTreeSet<&str>) -> Option<Offer> {
        if self.pending.is_some() {
            return None;
        }
        let mut api = self.rtc.sdp_api();
        let mic = *self.mic.get_or_insert_with(|| {
            api.add_media(MediaKind::Audio, Direction::RecvOnly, None, Some("microphone".to_owned()), None)
        });
        self.tracks.retain(|id, track| {
            let keep = wanted.contains(id.as_str());
            if !keep {
                api.stop_media(track.mid);
            }
            keep
        });
        for id in wanted {
            if !self.tracks.contains_key(*id) {
                let stream = Some((*id).to_owned());
                let mid =
                    api.add_media(MediaKind::Audio, Direction::SendOnly, stream, Some(format!("{id}-audio")), None);
                self.tracks.insert((*id).to_owned(), Track { mid, open: false });
            }
        }
        let (offer, pending) = api.apply()?;
        self.pending = Some(pending);
        Some(Offer { sdp: offer.to_sdp_string(), mic: mic.to_string() })
    }

    /// Takes the page's answer to the last offer.
    pub(crate) fn answer(&mut self, sdp: &str) -> Result<(), RtcError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let answer = SdpAnswer::from_sdp_string(sdp).map_err(|error| RtcError::RemoteSdp(error.to_string()))?;
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        for track in self.tracks.values_mut() {
            track.open = true;
        }
        Ok(())
    }

    /// Takes a candidate of the page. Those that cannot be used, such as mDNS names, are found by their packets.
    pub(crate) fn candidate(&mut self, candidate: &str) {
        if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    pub(crate) fn accepts(&self, input: &Input<'_>) -> bool {
        self.rtc.is_alive() && self.rtc.accepts(input)
    }

    pub(crate) fn receive(&mut self, now: Instant, packet: Receive<'_>) {
        self.input(Input::Receive(now, packet));
        self.next = now;
    }

    fn input(&mut self, input: Input<'_>) {
        if let Err(error) = self.rtc.handle_input(input) {
            tracing::debug!(%error, "a sandbox connection failed");
            self.rtc.disconnect();
        }
    }

    /// Sends 20 ms of Opus of one participant. False if the page cannot hear it yet.
    pub(crate) fn send(&mut self, id: &str, now: Instant, time: u64, level: i8, data: Arc<[u8]>) -> bool {
        let Some(track) = self.tracks.get(id).filter(|track| track.open && self.connected) else { return false };
        let Some(writer) = self.rtc.writer(track.mid) else { return false };
        let Some(pt) = writer.payload_params().map(str0m::format::PayloadParams::pt).next() else { return false };
        let time = MediaTime::new(time, Frequency::FORTY_EIGHT_KHZ);
        let written = writer.audio_level(level, level > -127).write(pt, now, time, data);
        if let Err(error) = &written {
            tracing::debug!(%error, id, "audio was not sent");
        }
        self.next = now;
        written.is_ok()
    }

    /// Drives time forward, transmits what is due and tells what happened.
    pub(crate) fn poll(&mut self, now: Instant, transmit: &mut dyn FnMut(&Transmit), events: &mut Vec<PeerEvent>) {
        self.input(Input::Timeout(now));
        loop {
            if !self.rtc.is_alive() {
                events.push(PeerEvent::Failed);
                return;
            }
            match self.rtc.poll_output() {
                Ok(Output::Timeout(next)) => {
                    self.next = next;
                    return;
                }
                Ok(Output::Transmit(packet)) => transmit(&packet),
                Ok(Output::Event(Event::Connected)) => {
                    self.connected = true;
                    events.push(PeerEvent::Connected);
                }
                Ok(Output::Event(Event::MediaData(data))) => events.push(PeerEvent::Audio(Box::new(data))),
                Ok(Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected))) => {
                    // It may come back by itself; the page asks for a new connection if it does not.
                    tracing::debug!("a sandbox connection is interrupted");
                }
                Ok(Output::Event(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "a sandbox connection failed");
                    self.rtc.disconnect();
                }
            }
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }
}
