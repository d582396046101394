//! What the script takes out of a page.

use muster_platform::browser::Browser;
use muster_platform::capture::reattach_expression;
use muster_platform::page::Page;
use muster_session::protocol::BrowserSpec;
use serde_json::json;

use crate::site::{Site, browser, captured_page, spec};
use crate::take::{PATIENCE, Take, frequency, level};

/// Two seconds of sound.
const ENOUGH: usize = 20;

/// Opus keeps a frequency; the measurement is good to 0.1 Hz per 65,536 samples. A lost or doubled block of 10 ms in
/// two seconds smears the peak by less than this; sound at another rate would be off by 8 % or more.
fn assert_tone(take: &Take, track: u32, hz: f32) {
    let found = frequency(take.steady(track));
    assert!((found - hz).abs() < 1.0, "{found} Hz instead of {hz}");
}

async fn visit(browser: &Browser, site: &Site, path: &str) -> Page {
    let page = captured_page(browser).await;
    page.navigate(&site.url(path), PATIENCE).await.unwrap();
    page
}

async fn hears_the_tone(spec: &BrowserSpec, site: &Site, path: &str) {
    let browser = Browser::launch(spec).await.unwrap();
    let mut page = visit(&browser, site, path).await;
    let mut take = Take::default();
    let track = take.hear(&mut page, ENOUGH).await;
    assert_tone(&take, track, 440.0);
    assert_eq!(take.trouble, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_tone_arrives_whole_at_the_right_rate_and_time() {
    let (site, browser) = (Site::start().await, browser().await);
    let mut page = visit(&browser, &site, "/call").await;
    let mut take = Take::default();
    let track = take.hear(&mut page, 50).await;
    assert_tone(&take, track, 440.0);
    let pieces = take.steady(track);
    // The first piece may begin in silence.
    for piece in &pieces[1..] {
        assert!(level(&piece.pcm) > 500, "a silent piece in the steady state");
    }
    let spans: Vec<i64> = pieces.windows(2).map(|w| w[1].at_us as i64 - w[0].at_us as i64).collect();
    assert!(spans.iter().all(|span| *span >= 80_000), "time goes back: {spans:?}");
    // 5 s of samples lie in 5 s of time, whatever the machine's load: a stall is at most a gap.
    let samples: usize = pieces[..pieces.len() - 1].iter().map(|piece| piece.pcm.len()).sum();
    let heard_us = (samples as i64) * 1_000 / 48;
    let passed_us = (pieces[pieces.len() - 1].at_us - pieces[0].at_us) as i64;
    assert!((passed_us - heard_us).abs() < 500_000, "{heard_us} us of sound in {passed_us} us");
    // A piece is sent when it is full, 100 ms after its beginning. The least late one shows the clocks agree; 50 ms is
    // for the way here.
    let ages = pieces.iter().map(|piece| piece.came_us as i64 - piece.at_us as i64);
    let least = ages.min().unwrap();
    assert!((80_000..150_000).contains(&least), "the youngest piece came {least} us after its beginning");
    assert!(take.received.last().is_some_and(|bytes| *bytes > 0) && take.received.is_sorted());
    assert_eq!(take.trouble, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_strict_content_security_policy_does_not_matter() {
    hears_the_tone(&spec(), &Site::start().await, "/strict").await;
}

#[tokio::test]
async fn a_page_in_public_address_space_is_heard_too() {
    let site = Site::start().await;
    let mut spec = spec();
    spec.extra_args.push(format!("--ip-address-space-overrides={}=public", site.at));
    hears_the_tone(&spec, &site, "/strict").await;
}

#[tokio::test]
async fn frames_are_heard_of_the_same_and_of_another_site() {
    let site = Site::start().await;
    hears_the_tone(&spec(), &site, "/framed").await;
    hears_the_tone(&spec(), &site, "/foreign").await;
}

#[tokio::test]
async fn two_pages_of_one_browser_are_heard_apart() {
    let (site, browser) = (Site::start().await, browser().await);
    let mut pages = [visit(&browser, &site, "/call?hz=440").await, visit(&browser, &site, "/call?hz=880").await];
    let [first, second] = &mut pages;
    let (mut low, mut high) = (Take::default(), Take::default());
    let (a, b) = tokio::join!(low.hear(first, ENOUGH), high.hear(second, ENOUGH));
    assert_tone(&low, a, 440.0);
    assert_tone(&high, b, 880.0);
    browser.close().await;
}

#[tokio::test]
async fn video_is_answered_inactive_however_the_page_answers() {
    let (site, browser) = (Site::start().await, browser().await);
    for how in ["plain", "rushed", "implicit", "callbacks"] {
        let page = visit(&browser, &site, &format!("/call?how={how}")).await;
        let sections = page.evaluate("call.ready.then(() => call.sections())").await.unwrap();
        assert_eq!(sections, json!([["audio", "recvonly"], ["video", "inactive"]]), "{how}");
        // And again at the next description.
        let again = page.evaluate("call.negotiate().then(() => call.sections())").await.unwrap();
        assert_eq!(again, sections, "{how}, again");
        page.close().await;
    }
    browser.close().await;
}

#[tokio::test]
async fn the_page_notices_nothing() {
    let (site, browser) = (Site::start().await, browser().await);
    let page = visit(&browser, &site, "/call").await;
    let table = [
        (
            "call.ready.then(() => call.seen.filter(s => s.endsWith('audio')).join())",
            json!("ontrack audio,track audio"),
        ),
        ("call.receiver instanceof RTCPeerConnection", json!(true)),
        ("call.receiver.constructor === RTCPeerConnection", json!(true)),
        ("webkitRTCPeerConnection === RTCPeerConnection", json!(true)),
        ("RTCPeerConnection.name + RTCPeerConnection.length", json!("RTCPeerConnection0")),
        ("new (class Mine extends RTCPeerConnection { x() { return 1 } })().x()", json!(1)),
        (
            "RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' }).then(c => c instanceof RTCCertificate)",
            json!(true),
        ),
        (
            "Object.keys(window).concat(Object.getOwnPropertyNames(window)).some(n => n.includes('muster'))",
            json!(false),
        ),
        ("call.receiver.setRemoteDescription({ type: 'offer', sdp: 'x' }).catch(e => e.name)", json!("OperationError")),
        (
            "new Promise(r => call.receiver.setRemoteDescription({ type: 'offer', sdp: 'x' }, r, e => r(e.name)))",
            json!("OperationError"),
        ),
        ("try { RTCPeerConnection() } catch (e) { e.name }", json!("TypeError")),
        ("RTCPeerConnection.prototype.createAnswer.call({}).catch(e => e.name)", json!("TypeError")),
        ("RTCPeerConnection.prototype.setRemoteDescription.call({}, {}).catch(e => e.name)", json!("TypeError")),
    ];
    for (expression, want) in table {
        assert_eq!(page.evaluate(expression).await.unwrap(), want, "{expression}");
    }
    browser.close().await;
}

#[tokio::test]
async fn a_place_given_to_another_participant_is_told() {
    let (site, browser) = (Site::start().await, browser().await);
    let mut page = visit(&browser, &site, "/call").await;
    let mut take = Take::default();
    let first = take.hear(&mut page, 1).await;
    let stream = page.evaluate("call.stream.id").await.unwrap();
    assert_eq!(take.started, [(first, vec![stream.as_str().unwrap().to_owned()])]);

    // Off and on again for somebody else: another track.
    let next = page.evaluate("call.hand_over()").await.unwrap();
    take.listen(&mut page, |take| take.started.len() == 2).await;
    assert_eq!(take.ended, [first]);
    let (second, streams) = take.started[1].clone();
    assert_ne!(second, first);
    assert_eq!(streams, [next.as_str().unwrap()]);
    take.listen(&mut page, |take| take.steady(second).len() >= ENOUGH).await;
    assert_tone(&take, second, 440.0);

    // At once for somebody else: the same track in another stream.
    let third = page.evaluate("call.rename()").await.unwrap();
    take.listen(&mut page, |take| take.started.len() == 3).await;
    assert_eq!(take.started[2].1, [third.as_str().unwrap()]);

    // Hung up.
    let last = take.started[2].0;
    page.evaluate("call.receiver.close()").await.unwrap();
    take.listen(&mut page, |take| take.ended.contains(&last)).await;
    browser.close().await;
}

#[tokio::test]
async fn capture_survives_a_page_that_mutes_and_can_be_attached_again() {
    let (site, browser) = (Site::start().await, browser().await);
    let mut page = visit(&browser, &site, "/call").await;
    let mut take = Take::default();
    let track = take.hear(&mut page, 1).await;
    page.evaluate(
        "for (const element of call.tracks) { element.srcObject.getTracks().forEach(t => t.enabled = false); element.pause(); element.srcObject = null }",
    )
    .await
    .unwrap();
    assert_eq!(page.evaluate(reattach_expression()).await.unwrap(), json!(1));
    let before = take.steady(track).len();
    take.listen(&mut page, |take| take.steady(track).len() >= before + 2 * ENOUGH).await;
    let after = &take.steady(track)[before + ENOUGH..];
    assert!((frequency(after) - 440.0).abs() < 1.0 && after.iter().all(|piece| level(&piece.pcm) > 500));
    assert_eq!(take.ended, Vec::<u32>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_new_document_is_told_and_numbers_its_tracks_anew() {
    let (site, browser) = (Site::start().await, browser().await);
    let mut page = visit(&browser, &site, "/call").await;
    let mut take = Take::default();
    let first = take.hear(&mut page, 1).await;
    assert_eq!(take.documents, 1);
    page.evaluate("location.reload()").await.unwrap();
    take.listen(&mut page, |take| take.documents == 2).await;
    assert_eq!(take.started.len(), 1, "nothing of the new document comes before it");
    take.listen(&mut page, |take| take.started.len() == 2).await;
    assert_ne!(take.started[1].0, first);
    browser.close().await;
}
