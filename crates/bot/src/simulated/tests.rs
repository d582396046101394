//! Against the real sandbox.

use axum::body::Body;
use axum::http::{Method, Request};
use muster_sandbox::{Sandbox, SandboxConfig};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

use super::*;
use crate::{report, spec_for_tests};

const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    sandbox: Sandbox,
    link: Url,
    _server: AbortOnDropHandle<()>,
}

impl World {
    async fn new(scenario: Value) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = format!("http://{}/sandbox/r", listener.local_addr().unwrap()).parse().unwrap();
        let router = sandbox.router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let world = Self { sandbox, link, _server: AbortOnDropHandle::new(server) };
        world.call(Method::PUT, "", scenario).await;
        world
    }

    async fn call(&self, method: Method, path: &str, body: Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/sandbox/api/rooms/r{path}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        assert!(self.sandbox.router().oneshot(request).await.unwrap().status().is_success());
    }

    async fn act(&self, action: &str) {
        self.call(Method::POST, "/actions", json!({"do": action})).await;
    }

    fn spec(&self) -> BotSpec {
        let mut spec = spec_for_tests();
        spec.meeting.join_url = self.link.clone();
        spec.browser.allow_loopback = true;
        spec
    }

    async fn join(&self) -> SimulatedPage {
        open(&self.spec()).await.unwrap()
    }
}

async fn open(spec: &BotSpec) -> Result<SimulatedPage, End> {
    let clock = Clock::start();
    let (reporter, _writing) = report::start(tokio::io::sink(), clock);
    WithoutBrowser.open(spec, &reporter, clock).await
}

async fn next(page: &mut SimulatedPage) -> PageEvent {
    tokio::time::timeout(PATIENCE, page.next()).await.expect("something to happen").unwrap()
}

fn over(reason: EndReason) -> PageEvent {
    PageEvent::Over { reason, message: String::new() }
}

#[tokio::test]
async fn the_way_through_a_meeting() {
    let people = json!([{"id": "ada", "name": "Ada"}]);
    let world = World::new(json!({"lobby": {"mode": "hold"}, "participants": people, "clock": "creation"})).await;
    let mut page = world.join().await;
    assert_eq!(next(&mut page).await, PageEvent::Lobby);
    world.act("admit").await;
    assert_eq!(next(&mut page).await, PageEvent::Admitted);
    let ada = Participant { id: "ada".into(), name: "Ada".into() };
    assert_eq!(next(&mut page).await, PageEvent::Roster(vec![ada.clone()]));
    let mut other = world.join().await;
    assert_eq!(next(&mut other).await, PageEvent::Lobby);
    world.act("admit").await;
    let PageEvent::Roster(others) = next(&mut page).await else { panic!("somebody came") };
    let [first, second] = &others[..] else { panic!("{others:?}") };
    assert_eq!((first, second.name.as_str()), (&ada, "Notes (simulated)"), "called simulated by everybody");
    drop(other);
    world.act("end").await;
    assert_eq!(next(&mut page).await, over(EndReason::HostEnded));
    assert_eq!(page.next().await, None);
}

#[tokio::test]
async fn ways_out_of_a_meeting() {
    let world = World::new(json!({})).await;
    let mut page = world.join().await;
    assert_eq!(next(&mut page).await, PageEvent::Admitted);
    assert!(page.leave(PATIENCE).await, "by itself");
    let mut page = world.join().await;
    assert_eq!(next(&mut page).await, PageEvent::Admitted);
    world.act("kick").await;
    loop {
        match next(&mut page).await {
            PageEvent::Roster(_) => {}
            event => break assert_eq!(event, over(EndReason::Kicked)),
        }
    }
    world.act("end").await;
    assert_eq!(next(&mut world.join().await).await, over(EndReason::MeetingOver), "too late");
}

#[tokio::test]
async fn what_cannot_be_attended_is_refused() {
    let mut real = spec_for_tests();
    real.meeting.platform = "zoom".into();
    assert_eq!(open(&real).await.unwrap_err(), End::plain(EndReason::SimulatedOnly));
    let mut guarded = spec_for_tests();
    guarded.browser.allow_loopback = false;
    let refused = open(&guarded).await.unwrap_err();
    assert_eq!(refused.reason, EndReason::ConnectionLost, "{}", refused.message);
}

#[test]
fn a_long_name_keeps_its_end() {
    let name = name(&"ä".repeat(200));
    assert!(name.ends_with("ä (simulated)"));
    assert_eq!(name.chars().count(), NAME_CHARS);
}
