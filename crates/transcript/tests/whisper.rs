//! A real recogniser hears synthetic speech. Needs `MUSTER_TEST_WHISPER_URL` (a server with OpenAI's interface; model
//! name in `MUSTER_TEST_WHISPER_MODEL`, `whisper-1` if unset) and `espeak-ng`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::sync::Arc;

use muster_session::protocol::SpeechSpec;
use muster_transcript::accuracy::wer;
use muster_transcript::document::{TrackAudio, transcribe_tracks};
use muster_transcript::listen::{Heard, Listener, Pace};
use muster_transcript::speech::{self, Error, SpeechToText};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::io::InspectReader;
use url::Url;

/// The server's address, or none if this run does not need one.
fn server() -> Option<Url> {
    let Ok(url) = std::env::var("MUSTER_TEST_WHISPER_URL") else {
        let required = ["CI", "MUSTER_REQUIRE_SERVERS"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!required, "MUSTER_TEST_WHISPER_URL is not set, and this run requires its servers");
        eprintln!("skipped: MUSTER_TEST_WHISPER_URL is not set");
        return None;
    };
    Some(url.parse().unwrap())
}

fn recogniser(url: Url) -> Arc<dyn SpeechToText> {
    let model = std::env::var("MUSTER_TEST_WHISPER_MODEL").unwrap_or_else(|_| "whisper-1".into());
    speech::open(&SpeechSpec::Openai { url, model, api_key: None, language: Some("en".into()) }).unwrap()
}

/// Speech at 16 kHz.
fn say(voice: &str, text: &str) -> Vec<i16> {
    let output = Command::new("espeak-ng").args(["--stdout", "-s", "150", "-v", voice, text]).output();
    let wav = output.expect("espeak-ng is installed").stdout;
    let rate = u32::from_le_bytes(wav[24..28].try_into().unwrap());
    let source: Vec<f64> =
        wav[44..].chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))).collect();
    // Linear interpolation is good enough for a recogniser.
    let step = f64::from(rate) / 16_000.0;
    (0..(source.len() as f64 / step) as usize - 1)
        .map(|index| {
            let at = index as f64 * step;
            let (whole, part) = (at as usize, at.fract());
            (source[whole] * (1.0 - part) + source[whole + 1] * part) as i16
        })
        .collect()
}

const FIRST: &str = "Good morning everyone. Let us look at the quarterly numbers and decide what to ship on Friday.";
const SECOND: &str = "The new billing page is ready, and the mobile team needs two more days for testing.";

#[tokio::test]
async fn speech_comes_back_as_words() {
    let Some(speech) = server().map(recogniser) else { return };
    let heard = speech.transcribe(&say("en-us", FIRST), None).await.unwrap();
    let error_rate = wer(FIRST, &heard.text());
    // A small model mishears a word or two of synthetic speech, not a quarter of it.
    assert!(error_rate < 0.25, "{error_rate}: {}", heard.text());
    assert!(heard.words().count() >= 12);
    // One second of silence may be heard as nothing only.
    let silence = speech.transcribe(&[0; 16_000], None).await.unwrap();
    assert_eq!(silence.text(), "");
}

#[tokio::test]
async fn a_conversation_is_labelled_and_in_order() {
    let Some(speech) = server().map(recogniser) else { return };
    let track = |id: &str, name: &str, start_ms: u64, pcm16k: Vec<i16>| TrackAudio {
        speaker_id: id.into(),
        speaker: name.into(),
        start_ms,
        pcm16k,
    };
    let silence = |seconds: usize| vec![0i16; seconds * 16_000];
    let ben = [silence(9), say("en-gb", SECOND), silence(2)].concat();
    let tracks = [track("b", "Ben", 0, ben), track("a", "Ann", 0, say("en-us", FIRST))];
    let parts = futures_util::stream::iter(tracks.map(Ok::<_, Error>));
    let transcript = transcribe_tracks(parts, &*speech, None).await.unwrap();
    for (speaker, want, from_ms) in [("Ann", FIRST, 0), ("Ben", SECOND, 9_000)] {
        let own: Vec<_> = transcript.segments.iter().filter(|segment| segment.speaker == speaker).collect();
        let text = own.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ");
        assert!(wer(want, &text) < 0.25, "{speaker}: {text}");
        // Word times are as fine as half a second at worst.
        assert!(own[0].start_ms.abs_diff(from_ms) < 1_000, "{speaker} starts at {} ms", own[0].start_ms);
    }
    assert!(transcript.segments.is_sorted_by_key(|segment| segment.start_ms));
}

/// A way to the server that can be cut: connections break off and new ones are refused.
struct Way {
    server: String,
    here: std::net::SocketAddr,
    tasks: JoinSet<()>,
    /// Told when something is on its way to the server.
    asked: mpsc::UnboundedSender<()>,
}

impl Way {
    async fn open(server: &Url, asked: mpsc::UnboundedSender<()>) -> Self {
        let server = format!("{}:{}", server.host_str().unwrap(), server.port_or_known_default().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let mut way = Self { server, here, tasks: JoinSet::new(), asked };
        way.carry(listener);
        way
    }

    fn carry(&mut self, listener: TcpListener) {
        let (server, asked) = (self.server.clone(), self.asked.clone());
        self.tasks.spawn(async move {
            let mut carried = JoinSet::new();
            loop {
                let (near, far) = (listener.accept().await.unwrap().0, TcpStream::connect(&server).await.unwrap());
                let asked = asked.clone();
                carried.spawn(async move {
                    let ((from, mut back), (mut answer, mut to)) = (near.into_split(), far.into_split());
                    let mut from = InspectReader::new(from, |_| asked.send(()).unwrap_or_default());
                    let there = tokio::io::copy(&mut from, &mut to);
                    let _ = tokio::join!(there, tokio::io::copy(&mut answer, &mut back));
                });
            }
        });
    }

    async fn cut(&mut self) {
        self.tasks.shutdown().await;
    }

    async fn mend(&mut self) {
        let listener = TcpListener::bind(self.here).await.unwrap();
        self.carry(listener);
    }
}

/// A call whose people speak as fast as they are listened to.
struct Call {
    listener: Box<dyn Listener>,
    now_ms: u64,
}

impl Call {
    fn speak(&mut self, voice: &str, pcm16k: &[i16]) {
        let speech = pcm16k.chunks_exact(320).map(|frame| (frame, true));
        let silence = std::iter::repeat_n((&[0; 320][..], false), 50);
        for (frame, speech) in speech.chain(silence) {
            self.listener.frame(voice, self.now_ms, frame, speech);
            self.now_ms += 20;
        }
    }
}

#[tokio::test]
async fn a_server_that_goes_away_in_the_middle_of_a_call_loses_no_word_and_repeats_none() {
    let Some(server) = server() else { return };
    let (asked, mut asking) = mpsc::unbounded_channel();
    let mut way = Way::open(&server, asked).await;
    let url = format!("http://{}", way.here).parse().unwrap();
    let (listener, mut heard) = recogniser(url).listen(None, Pace::default());
    let mut call = Call { listener, now_ms: 0 };
    let (ann, ben) = (say("en-us", FIRST), say("en-gb", SECOND));
    call.speak("ann", &ann);
    let mut said = vec![heard.recv().await.unwrap()];
    while asking.try_recv().is_ok() {}
    // Ben's words are at the server when it goes; Ann's are said while it is away.
    call.speak("ben", &ben);
    asking.recv().await.unwrap();
    way.cut().await;
    call.speak("ann", &ann);
    assert!(matches!(heard.recv().await, Some(Heard::Trouble(_))));
    way.mend().await;
    call.listener.finish();
    while let Some(more) = heard.recv().await {
        said.push(more);
    }
    assert_eq!((said.len(), call.listener.waiting_ms()), (3, 0), "{said:?}");
    for (heard, (voice, want)) in said.iter().zip([("ann", FIRST), ("ben", SECOND), ("ann", FIRST)]) {
        let Heard::Phrase(phrase) = heard else { panic!("{heard:?}") };
        // A sentence that is lost or said twice would be far more wrong than a small model is.
        assert!(phrase.voice == voice && wer(want, &phrase.text) < 0.25, "{phrase:?}");
    }
}
