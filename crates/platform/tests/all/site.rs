//! The pages, served on a free port of 127.0.0.1, and the browsers that visit them.

use std::net::SocketAddr;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use muster_platform::browser::Browser;
use muster_platform::capture;
use muster_platform::page::Page;
use muster_session::protocol::BrowserSpec;
use url::Url;

/// Two peers in one page: an oscillator is sent from one to the other.
const CALL: &str = include_str!("pages/call.js");
const STRICT: &str = "default-src 'none'; script-src 'self'";

/// A running server; ends with the test's runtime.
pub(crate) struct Site {
    pub(crate) at: SocketAddr,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let foreign = format!("<!doctype html><iframe src='http://localhost:{}/call'></iframe>", at.port());
        let router = Router::new()
            .route("/call", get(|| html(PAGE, None)))
            .route("/strict", get(|| html(PAGE, Some(STRICT))))
            .route("/empty", get(|| html("<!doctype html><title>empty</title><input id=i>", None)))
            .route("/framed", get(|| html("<!doctype html><iframe src=/call></iframe>", None)))
            .route("/foreign", get(move || html_owned(foreign.clone())))
            .route("/call.js", get(|| async { ([(CONTENT_TYPE, "text/javascript")], CALL) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { at }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.at).parse().unwrap()
    }
}

const PAGE: &str = "<!doctype html><title>call</title><script src=/call.js></script>";

async fn html(body: &'static str, policy: Option<&'static str>) -> Response {
    let mut response = ([(CONTENT_TYPE, "text/html")], body).into_response();
    if let Some(policy) = policy {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.parse().unwrap());
    }
    response
}

async fn html_owned(body: String) -> Response {
    ([(CONTENT_TYPE, "text/html")], body).into_response()
}

pub(crate) fn spec() -> BrowserSpec {
    BrowserSpec { allow_loopback: true, ..BrowserSpec::default() }
}

pub(crate) async fn browser() -> Browser {
    Browser::launch(&spec()).await.unwrap()
}

/// A page with the capture script, not yet anywhere.
pub(crate) async fn captured_page(browser: &Browser) -> Page {
    let page = browser.open_page().await.unwrap();
    page.add_binding(capture::BINDING).await.unwrap();
    page.add_script(&capture::script(&capture::Options::default())).await.unwrap();
    page
}
