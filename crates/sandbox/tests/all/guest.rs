//! A guest without a browser: the signalling of the page, and a WebRTC endpoint of str0m.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use muster_audio::codec::{Decoder, Encoder, Tuning};
use muster_audio::{FRAME, tone};
use serde_json::{Value, json};
use str0m::change::SdpOffer;
use str0m::media::{Frequency, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::world::{PATIENCE, World};

struct Packet {
    /// 48 kHz.
    time: u64,
    arrived_us: i64,
    data: Arc<[u8]>,
}

pub(crate) struct Guest {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    udp: UdpSocket,
    rtc: Option<Rtc>,
    pub(crate) session: u64,
    /// Streams by m-line.
    streams: BTreeMap<Mid, String>,
    /// What came of each stream, in this session.
    heard: BTreeMap<String, Vec<Packet>>,
    microphone: Option<Microphone>,
    /// Everything that the room said.
    pub(crate) messages: Vec<Value>,
    pub(crate) closed: bool,
}

struct Microphone {
    mid: Mid,
    encoder: Encoder,
    tone: Vec<i16>,
    sent: u64,
    next: Instant,
}

fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

impl Guest {
    pub(crate) async fn hello(world: &World, room: &str, hello: Value) -> Self {
        let url = format!("ws://{}/sandbox/{room}/ws", world.addr);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        socket.send(Message::text(hello.to_string())).await.unwrap();
        Self {
            socket,
            udp: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            rtc: None,
            session: 0,
            streams: BTreeMap::new(),
            heard: BTreeMap::new(),
            microphone: None,
            messages: Vec::new(),
            closed: false,
        }
    }

    pub(crate) async fn join(world: &World, room: &str, name: &str) -> Self {
        Self::hello(world, room, json!({"type": "hello", "name": name})).await
    }

    pub(crate) async fn resume(world: &World, room: &str, token: &str) -> Self {
        Self::hello(world, room, json!({"type": "hello", "name": "x", "resume": token})).await
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The last message of a type.
    pub(crate) fn last(&self, kind: &str) -> Option<&Value> {
        self.messages.iter().rfind(|message| message["type"] == kind)
    }

    /// Runs until the room has said this, and answers it.
    pub(crate) async fn told(&mut self, kind: &str) -> Value {
        self.until(kind, |guest| guest.last(kind).is_some()).await;
        self.last(kind).unwrap().clone()
    }

    /// Runs until it is connected and every stream of the last offer has brought something.
    pub(crate) async fn hears(&mut self, stream: &str) {
        self.until(stream, |guest| guest.heard.get(stream).is_some_and(|packets| packets.len() > 5)).await;
    }

    /// Runs this guest's side until something is true.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < give_up, "never: {what}; was told {:?}", self.messages);
            self.step().await;
        }
    }

    /// Goes on for so many things that happen, each of which takes 100 ms at most.
    pub(crate) async fn listen_on(&mut self, things: usize) {
        for _ in 0..things {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let wake = self.poll().await;
        let microphone = self.microphone.as_ref().map_or(wake, |microphone| microphone.next.min(wake));
        let mut buffer = [0; 2_000];
        tokio::select! {
            message = self.socket.next(), if !self.closed => match message {
                Some(Ok(Message::Text(text))) => self.take(serde_json::from_str(&text).unwrap()).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => self.closed = true,
            },
            packet = self.udp.recv_from(&mut buffer) => {
                let (length, from) = packet.unwrap();
                let to = self.udp.local_addr().unwrap();
                if let (Some(rtc), Ok(packet)) = (&mut self.rtc, Receive::new(Protocol::Udp, from, to, &buffer[..length])) {
                    let input = Input::Receive(Instant::now(), packet);
                    if rtc.accepts(&input) {
                        rtc.handle_input(input).unwrap();
                    }
                }
            }
            () = tokio::time::sleep_until(microphone.into()) => {}
        }
        self.speak();
        if let Some(rtc) = &mut self.rtc {
            rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
        }
    }

    async fn poll(&mut self) -> Instant {
        let idle = Instant::now() + Duration::from_millis(100);
        let Some(rtc) = &mut self.rtc else { return idle };
        loop {
            match rtc.poll_output().unwrap() {
                Output::Timeout(at) => return at.min(idle),
                Output::Transmit(packet) => drop(self.udp.send_to(&packet.contents, packet.destination).await),
                Output::Event(Event::MediaData(data)) => {
                    let Some(stream) = self.streams.get(&data.mid) else { continue };
                    let time = data.time.rebase(Frequency::FORTY_EIGHT_KHZ).numer();
                    let packet = Packet { time, arrived_us: now_us(), data: data.data };
                    self.heard.entry(stream.clone()).or_default().push(packet);
                }
                Output::Event(_) => {}
            }
        }
    }

    async fn take(&mut self, message: Value) {
        if message["type"] == "offer" {
            self.answer(&message).await;
        }
        self.messages.push(message);
    }

    async fn answer(&mut self, offer: &Value) {
        let session = offer["session"].as_u64().unwrap();
        if session != self.session {
            self.session = session;
            self.heard.clear();
            self.microphone = None;
            let provider = str0m::crypto::from_feature_flags();
            let config =
                RtcConfig::new().clear_codecs().enable_opus(true, false).set_crypto_provider(Arc::new(provider));
            let mut rtc = config.build(Instant::now());
            rtc.add_local_candidate(Candidate::host(self.udp.local_addr().unwrap(), "udp").unwrap());
            self.rtc = Some(rtc);
        }
        let sdp = offer["sdp"].as_str().unwrap();
        self.streams = streams(sdp);
        let rtc = self.rtc.as_mut().unwrap();
        let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(sdp).unwrap()).unwrap();
        self.say(json!({"type": "answer", "session": session, "sdp": answer.to_sdp_string()})).await;
    }

    /// Speaks a tone into the microphone from now on.
    pub(crate) fn hum(&mut self, hz: f32) {
        let mid = self.last("offer").unwrap()["mic"].as_str().unwrap().into();
        let encoder = Encoder::new(Tuning::Voice, 40_000).unwrap();
        let tone = tone::sine(hz, 1_000, 0.5, 48_000);
        self.microphone = Some(Microphone { mid, encoder, tone, sent: 0, next: Instant::now() });
    }

    fn speak(&mut self) {
        let (Some(microphone), Some(rtc)) = (&mut self.microphone, &mut self.rtc) else { return };
        let now = Instant::now();
        if now < microphone.next {
            return;
        }
        let at = usize::try_from(microphone.sent).unwrap() % 50 * FRAME;
        let frame: &[i16; FRAME] = microphone.tone[at..at + FRAME].try_into().unwrap();
        let data: Arc<[u8]> = microphone.encoder.encode(frame).unwrap().into();
        let time = MediaTime::new(microphone.sent * 960, Frequency::FORTY_EIGHT_KHZ);
        if let Some(writer) = rtc.writer(microphone.mid) {
            let pt = writer.payload_params().next().unwrap().pt();
            writer.write(pt, now, time, data).unwrap();
        }
        microphone.sent += 1;
        microphone.next += Duration::from_millis(20);
    }

    pub(crate) fn packets(&self, stream: &str) -> usize {
        self.heard.get(stream).map_or(0, Vec::len)
    }

    /// What a stream has brought: 48 kHz, and when its first sample was heard, in milliseconds since 1970. The RTP time
    /// places it, the packet that was delayed least says where that is.
    pub(crate) fn listen(&self, stream: &str) -> (Vec<i16>, i64) {
        let packets = &self.heard[stream];
        let first = packets[0].time;
        let us = |packet: &Packet| i64::try_from((packet.time - first) / 48).unwrap() * 1_000;
        let start_us = packets.iter().map(|packet| packet.arrived_us - us(packet)).min().unwrap();
        let mut decoder = Decoder::new().unwrap();
        let mut pcm = Vec::new();
        for packet in packets {
            let at = usize::try_from(packet.time - first).unwrap();
            assert!(at >= pcm.len(), "{stream}: times overlap at {at}");
            pcm.resize(at, 0);
            pcm.extend_from_slice(decoder.decode(&packet.data).unwrap());
        }
        (pcm, start_us / 1_000)
    }

    /// Goes without a word, as a killed browser does.
    pub(crate) fn vanish(self) {}
}

/// The stream of each m-line that brings one.
fn streams(sdp: &str) -> BTreeMap<Mid, String> {
    let mut streams = BTreeMap::new();
    for section in sdp.split("\r\nm=").skip(1) {
        let value = |name: &str| section.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if let (Some(mid), Some(msid)) = (value("a=mid:"), value("a=msid:")) {
            streams.insert(Mid::from(mid.as_str()), msid.split(' ').next().unwrap().to_owned());
        }
    }
    streams
}
