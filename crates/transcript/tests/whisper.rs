//! A real recogniser hears synthetic speech. Needs `MUSTER_TEST_WHISPER_URL` (a server with OpenAI's interface; model
//! name in `MUSTER_TEST_WHISPER_MODEL`, `whisper-1` if unset) and `espeak-ng`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::sync::Arc;

use muster_session::protocol::SpeechSpec;
use muster_transcript::accuracy::wer;
use muster_transcript::document::{TrackAudio, transcribe_tracks};
use muster_transcript::speech::{self, Error, SpeechToText};

/// The server, or none if this run does not need one.
fn recogniser() -> Option<Arc<dyn SpeechToText>> {
    let Ok(url) = std::env::var("MUSTER_TEST_WHISPER_URL") else {
        let required = ["CI", "MUSTER_REQUIRE_SERVERS"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!required, "MUSTER_TEST_WHISPER_URL is not set, and this run requires its servers");
        eprintln!("skipped: MUSTER_TEST_WHISPER_URL is not set");
        return None;
    };
    let model = std::env::var("MUSTER_TEST_WHISPER_MODEL").unwrap_or_else(|_| "whisper-1".into());
    let spec = SpeechSpec::Openai { url: url.parse().unwrap(), model, api_key: None, language: Some("en".into()) };
    Some(speech::open(&spec).unwrap())
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
    let Some(speech) = recogniser() else { return };
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
    let Some(speech) = recogniser() else { return };
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
