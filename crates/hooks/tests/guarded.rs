//! The guarded clients against real servers. `127.0.0.2` plays a public address (the policy opens it alone),
//! `127.0.0.1` a private one.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{any, post};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use muster_hooks::client::{Answer, CallError, GuardedClient, Limits};
use muster_hooks::deliver::Sender;
use muster_hooks::guard::{Policy, Range, Refused};
use muster_hooks::resolve::Resolver;
use muster_hooks::socket::{ConnectError, connect_websocket, connect_websocket_with};
use muster_session::{EndpointId, TenantId, Timestamp};
use muster_store::Endpoint;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

const PRIVATE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Answers each lookup with the next list of addresses.
#[derive(Debug)]
struct Scripted(Mutex<VecDeque<Vec<Ipv4Addr>>>);

impl Scripted {
    fn new<const N: usize>(answers: [&[Ipv4Addr]; N]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect())))
    }
}

#[async_trait::async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        let answer = self.0.lock().unwrap().pop_front().ok_or(std::io::ErrorKind::NotFound)?;
        Ok(answer.into_iter().map(IpAddr::V4).collect())
    }
}

/// One server on both addresses at one port, which counts what reached the private one.
struct Servers {
    port: u16,
    private_hits: Arc<AtomicUsize>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Servers {
    async fn start() -> Self {
        let public = TcpListener::bind((PUBLIC, 0)).await.unwrap();
        let port = public.local_addr().unwrap().port();
        let private = TcpListener::bind((PRIVATE, port)).await.unwrap();
        let private_hits = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        let app = |hits: Arc<AtomicUsize>| {
            let secret = format!("http://{PRIVATE}:{port}/hook");
            Router::new()
                .route(
                    "/hook",
                    post(move |body: Bytes| {
                        hits.fetch_add(1, Ordering::SeqCst);
                        // Each call is a new connection, so each call resolves.
                        async move { ([(header::CONNECTION, "close")], body) }
                    }),
                )
                .route(
                    "/redirect/{status}",
                    post(move |Path(status): Path<u16>| async move {
                        (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, secret)])
                    }),
                )
                .route("/hang", post(std::future::pending::<StatusCode>))
                .route(
                    "/agent",
                    post(|headers: HeaderMap| async move { headers["user-agent"].to_str().unwrap().to_owned() }),
                )
                .route("/large", post(|| async { vec![b'x'; 1 << 20] }))
                .route(
                    "/ws",
                    any(|upgrade: WebSocketUpgrade| async {
                        upgrade.on_upgrade(|mut socket| async move {
                            while let Some(Ok(message)) = socket.recv().await {
                                if socket.send(message).await.is_err() {
                                    return;
                                }
                            }
                        })
                    }),
                )
        };
        let (open, shut) = (app(Arc::default()), app(Arc::clone(&private_hits)));
        tasks.spawn(async move { axum::serve(public, open).await.unwrap() });
        tasks.spawn(async move { axum::serve(private, shut).await.unwrap() });
        Self { port, private_hits, _tasks: tasks }
    }

    fn url(&self, scheme: &str, host: impl std::fmt::Display, path: &str) -> Url {
        Url::parse(&format!("{scheme}://{host}:{}{path}", self.port)).unwrap()
    }

    fn private_hits(&self) -> usize {
        self.private_hits.load(Ordering::SeqCst)
    }
}

fn only_public() -> Policy {
    Policy::new(["127.0.0.2"]).unwrap()
}

async fn post_to(client: &GuardedClient, url: &Url) -> Result<Answer, CallError> {
    client.post(url, HeaderMap::new(), Bytes::from_static(b"{}")).await
}

fn is_loopback<E: std::fmt::Debug>(refused: Option<Refused>, whole: &E) {
    assert!(matches!(refused, Some(Refused::Address { what: Range::Loopback, .. })), "{whole:?}");
}

#[tokio::test]
async fn loopback_is_refused_unless_opened() {
    let servers = Servers::start().await;
    let strict = GuardedClient::new(Policy::default(), Limits::default()).unwrap();
    let error = post_to(&strict, &servers.url("http", PRIVATE, "/hook")).await.unwrap_err();
    let CallError::Refused(refused) = &error else { panic!("{error:?}") };
    is_loopback(Some(refused.clone()), &error);
    assert_eq!(servers.private_hits(), 0);

    let open = GuardedClient::new(Policy::new(["127.0.0.0/8"]).unwrap(), Limits::default()).unwrap();
    let answer = post_to(&open, &servers.url("http", PRIVATE, "/hook")).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"{}"[..]));
    assert_eq!(servers.private_hits(), 1);
    let answer = post_to(&open, &servers.url("http", PUBLIC, "/agent")).await.unwrap();
    assert_eq!(answer.body, concat!("Muster/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_name_that_moves_to_a_private_address_after_the_check_is_refused() {
    let servers = Servers::start().await;
    let names = Scripted::new([&[PUBLIC], &[PRIVATE]]);
    let client = GuardedClient::with_resolver(only_public(), Limits::default(), names).unwrap();
    let url = servers.url("http", "rebinding.example", "/hook");
    assert_eq!(post_to(&client, &url).await.unwrap().status, StatusCode::OK);
    let error = post_to(&client, &url).await.unwrap_err();
    let CallError::Refused(refused) = &error else { panic!("{error:?}") };
    is_loopback(Some(refused.clone()), &error);
    assert_eq!(servers.private_hits(), 0);
}

#[tokio::test]
async fn a_test_of_an_endpoint_is_guarded_like_every_webhook() {
    let servers = Servers::start().await;
    let names = Scripted::new([&[PUBLIC], &[PRIVATE]]);
    let client = GuardedClient::with_resolver(only_public(), Limits::default(), names).unwrap();
    let sender = Sender::over(Arc::new(client));
    let endpoint = |url| Endpoint {
        id: EndpointId::from_uuid(uuid::Uuid::nil()),
        tenant: TenantId::new("t"),
        version: 0,
        url,
        description: String::new(),
        events: Vec::new(),
        secrets: Vec::new(),
        created_at: Timestamp::default(),
        failing_since: None,
        disabled: None,
    };
    let rebinding = endpoint(servers.url("http", "rebinding.example", "/hook"));
    assert_eq!(sender.test(&rebinding, Timestamp::default()).await.http_status, Some(200));
    let result = sender.test(&rebinding, Timestamp::default()).await;
    assert!(result.http_status.is_none() && result.detail.contains("loopback"), "{result:?}");
    let redirect = endpoint(servers.url("http", PUBLIC, "/redirect/302"));
    assert_eq!(sender.test(&redirect, Timestamp::default()).await.http_status, Some(302));
    assert_eq!(servers.private_hits(), 0);
}

#[tokio::test]
async fn of_several_addresses_only_the_open_ones_are_called() {
    let servers = Servers::start().await;
    let names = Scripted::new([&[PRIVATE, PUBLIC]]);
    let client = GuardedClient::with_resolver(only_public(), Limits::default(), names).unwrap();
    let answer = post_to(&client, &servers.url("http", "mixed.example", "/hook")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(servers.private_hits(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let servers = Servers::start().await;
    let client = GuardedClient::new(only_public(), Limits::default()).unwrap();
    for status in [301, 302, 303, 307, 308] {
        let url = servers.url("http", PUBLIC, &format!("/redirect/{status}"));
        assert_eq!(post_to(&client, &url).await.unwrap().status.as_u16(), status);
    }
    assert_eq!(servers.private_hits(), 0);
}

#[tokio::test]
async fn slow_and_large_answers_are_bounded() {
    let servers = Servers::start().await;
    let limits = Limits { total: Duration::from_millis(100), ..Limits::default() };
    let client = GuardedClient::new(only_public(), limits).unwrap();
    let error = post_to(&client, &servers.url("http", PUBLIC, "/hang")).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout), "{error:?}");

    let client = GuardedClient::new(only_public(), Limits { max_body_bytes: 1000, ..Limits::default() }).unwrap();
    let answer = post_to(&client, &servers.url("http", PUBLIC, "/large")).await.unwrap();
    assert_eq!(answer.body.len(), 1000);
}

#[tokio::test]
async fn nobody_listening_and_unknown_names_are_told_apart() {
    let listener = TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    drop(listener);
    let client = GuardedClient::with_resolver(only_public(), Limits::default(), Scripted::new([])).unwrap();
    let error = post_to(&client, &Url::parse(&format!("http://{address}/")).unwrap()).await.unwrap_err();
    assert!(matches!(&error, CallError::Unreachable { detail, .. } if detail.contains("refused")), "{error:?}");
    let error = post_to(&client, &Url::parse("http://nowhere.example/").unwrap()).await.unwrap_err();
    assert!(matches!(&error, CallError::Unreachable { detail, .. } if detail.contains("resolved")), "{error:?}");
}

#[tokio::test]
async fn plain_http_on_a_tls_url_fails_in_the_handshake() {
    let servers = Servers::start().await;
    let client = GuardedClient::new(only_public(), Limits::default()).unwrap();
    let error = post_to(&client, &servers.url("https", PUBLIC, "/hook")).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    let url = servers.url("wss", PUBLIC, "/ws");
    let error = connect_websocket(&url, &only_public(), Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_websocket_is_opened_to_a_checked_address_only() {
    let servers = Servers::start().await;
    let (policy, patience) = (only_public(), Duration::from_secs(5));
    let mut socket = connect_websocket(&servers.url("ws", PUBLIC, "/ws"), &policy, patience).await.unwrap();
    socket.send(Message::binary(&b"\x01pcm"[..])).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_data(), &b"\x01pcm"[..]);

    let error = connect_websocket(&servers.url("ws", PRIVATE, "/ws"), &policy, patience).await.unwrap_err();
    let ConnectError::Refused(refused) = &error else { panic!("{error:?}") };
    is_loopback(Some(refused.clone()), &error);

    let names = Scripted::new([&[PUBLIC], &[PRIVATE]]);
    let url = servers.url("ws", "rebinding.example", "/ws");
    connect_websocket_with(&url, &policy, patience, names.as_ref()).await.unwrap();
    let error = connect_websocket_with(&url, &policy, patience, names.as_ref()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_declines_or_hangs_is_reported() {
    let servers = Servers::start().await;
    let policy = only_public();
    let url = servers.url("ws", PUBLIC, "/nowhere");
    let error = connect_websocket(&url, &policy, Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Declined { status: 404 }), "{error:?}");
    let url = servers.url("http", PUBLIC, "/ws");
    let error = connect_websocket(&url, &policy, Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused(Refused::Scheme { .. })), "{error:?}");

    // Accepts connections in the kernel and never answers.
    let silent = TcpListener::bind((PUBLIC, 0)).await.unwrap();
    let url = Url::parse(&format!("ws://{}/", silent.local_addr().unwrap())).unwrap();
    let error = connect_websocket(&url, &policy, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}
