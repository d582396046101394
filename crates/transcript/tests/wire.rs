//! What goes over the wire to a speech-to-text server.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use muster_session::protocol::SpeechSpec;
use muster_transcript::speech::{self, Error, SpeechToText};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
struct Seen {
    authorization: Option<String>,
    fields: Vec<(String, String)>,
    file_name: String,
    file_type: String,
    file: Vec<u8>,
}

impl Seen {
    fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Answers each request with the next of a list, and remembers the requests.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<(StatusCode, &'static str)>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn transcribe(State(server): State<Server>, headers: HeaderMap, mut form: Multipart) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let mut seen = Seen { authorization, ..Seen::default() };
    while let Some(field) = form.next_field().await.unwrap() {
        let name = field.name().unwrap().to_owned();
        if name == "file" {
            seen.file_name = field.file_name().unwrap().to_owned();
            seen.file_type = field.content_type().unwrap().to_owned();
            seen.file = field.bytes().await.unwrap().to_vec();
        } else {
            seen.fields.push((name, field.text().await.unwrap()));
        }
    }
    server.seen.lock().unwrap().push(seen);
    server.answers.lock().unwrap().pop_front().unwrap_or((StatusCode::IM_A_TEAPOT, "no more answers")).into_response()
}

async fn start(
    answers: &[(StatusCode, &'static str)],
    api_key: Option<&str>,
    language: Option<&str>,
) -> (Server, Arc<dyn SpeechToText>, JoinSet<()>) {
    let server = Server { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), ..Server::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spec = SpeechSpec::Openai {
        url: format!("http://{}", listener.local_addr().unwrap()).parse().unwrap(),
        model: "whisper-large".into(),
        api_key: api_key.map(str::to_owned),
        language: language.map(str::to_owned),
    };
    let app = Router::new().route("/v1/audio/transcriptions", post(transcribe)).with_state(server.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (server, speech::open(&spec).unwrap(), tasks)
}

const GOOD: &str = r#"{"text":" Hi.","segments":[{"start":0.0,"end":0.5,"text":" Hi."}],"language":"en"}"#;

#[tokio::test]
async fn a_request_is_a_wav_file_with_everything_a_server_wants_to_know() {
    let (server, speech, _tasks) = start(&[(StatusCode::OK, GOOD); 2], Some("sk-1"), Some("de")).await;
    let pcm: Vec<i16> = (0..16_000).collect();
    assert_eq!(speech.transcribe(&pcm, Some("en")).await.unwrap().text(), "Hi.");
    speech.transcribe(&pcm, None).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].authorization.as_deref(), Some("Bearer sk-1"));
    assert_eq!(seen[0].values("model"), ["whisper-large"]);
    assert_eq!(seen[0].values("response_format"), ["verbose_json"]);
    assert_eq!(seen[0].values("timestamp_granularities[]"), ["word", "segment"]);
    assert_eq!((seen[0].values("language"), seen[1].values("language")), (vec!["en"], vec!["de"]));
    assert_eq!((seen[0].file_name.as_str(), seen[0].file_type.as_str()), ("audio.wav", "audio/wav"));
    assert_eq!(&seen[0].file[8..16], b"WAVEfmt ");
    let samples: Vec<i16> = seen[0].file[44..].chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(samples, pcm);
}

#[tokio::test]
async fn trouble_of_the_server_is_tried_again() {
    let answers = [(StatusCode::SERVICE_UNAVAILABLE, "loading"), (StatusCode::OK, GOOD)];
    let (server, speech, _tasks) = start(&answers, None, None).await;
    assert_eq!(speech.transcribe(&[0; 16_000], None).await.unwrap().text(), "Hi.");
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].authorization.as_deref(), seen[0].values("language").len()), (None, 0));
    assert_eq!(seen[0].file, seen[1].file);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let (server, speech, _tasks) = start(&[(StatusCode::UNAUTHORIZED, "wrong key")], None, None).await;
    let error = speech.transcribe(&[0; 16_000], None).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected { status: 401, detail } if detail == "wrong key"), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_server_without_verbose_answers_is_asked_for_plain_ones_from_then_on() {
    let plain = (StatusCode::OK, r#"{"text":"Hello there"}"#);
    let answers = [(StatusCode::BAD_REQUEST, "unsupported response_format"), plain, plain];
    let (server, speech, _tasks) = start(&answers, None, None).await;
    for _ in 0..2 {
        let got = speech.transcribe(&[0; 16_000], None).await.unwrap();
        assert_eq!(got.words().map(|word| (word.start_ms, word.end_ms)).collect::<Vec<_>>(), [(0, 500), (500, 1000)]);
    }
    let formats: Vec<_> = server.seen().iter().map(|seen| seen.values("response_format").concat()).collect();
    assert_eq!(formats, ["verbose_json", "json", "json"]);
}

#[tokio::test]
async fn a_request_that_is_wrong_in_either_form_is_reported_as_it_was() {
    let answers = [(StatusCode::BAD_REQUEST, "unknown model"), (StatusCode::BAD_REQUEST, "unknown model again")];
    let (server, speech, _tasks) = start(&answers, None, None).await;
    let error = speech.transcribe(&[0; 16_000], None).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected { status: 400, detail } if detail == "unknown model"), "{error:?}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn nonsense_is_an_error_and_nothing_is_not_asked_about() {
    let (server, speech, _tasks) = start(&[(StatusCode::OK, "<html>")], None, None).await;
    let error = speech.transcribe(&[0; 16_000], None).await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error:?}");
    assert_eq!(speech.transcribe(&[], None).await.unwrap().segments, []);
    assert_eq!(server.seen().len(), 1);
}
