//! Commands to a page.

use std::time::Duration;

use muster_platform::browser::BrowserError;
use serde_json::json;

use crate::site::{Site, browser};
use crate::take::PATIENCE;

#[tokio::test]
async fn a_page_that_cannot_be_loaded_says_why() {
    let browser = browser().await;
    let page = browser.open_page().await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let table = [
        (format!("http://{free}/secret"), "127.0.0.1 could not be loaded: net::ERR_CONNECTION_REFUSED"),
        ("http://nothing.invalid/".into(), "nothing.invalid could not be loaded: net::ERR_NAME_NOT_RESOLVED"),
        ("http://127.0.0.1:1/".into(), "127.0.0.1 could not be loaded: net::ERR_UNSAFE_PORT"),
    ];
    for (url, want) in table {
        let error = page.navigate(&url.parse().unwrap(), PATIENCE).await.unwrap_err();
        assert_eq!(error.to_string(), want);
    }
    browser.close().await;
}

#[tokio::test]
async fn a_page_that_never_answers_is_a_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let browser = browser().await;
    let page = browser.open_page().await.unwrap();
    let error = page.navigate(&url, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, BrowserError::Timeout { .. }), "{error}");
    browser.close().await;
}

#[tokio::test]
async fn values_promises_and_exceptions_come_back() {
    let (site, browser) = (Site::start().await, browser().await);
    let page = browser.open_page().await.unwrap();
    page.navigate(&site.url("/empty"), PATIENCE).await.unwrap();
    let table = [
        ("1 + 1", json!(2)),
        ("undefined", json!(null)),
        ("({ a: [1, 'x', null] })", json!({ "a": [1, "x", null] })),
        ("Promise.resolve('later')", json!("later")),
        ("matchMedia('(prefers-reduced-motion: reduce)').matches", json!(true)),
        ("document.hasFocus()", json!(true)),
        ("navigator.language", json!("en-US")),
        // Nothing asks and blocks: the one microphone is silence, the rest is refused.
        ("navigator.permissions.query({ name: 'microphone' }).then(p => p.state)", json!("granted")),
        ("Notification.requestPermission()", json!("denied")),
        ("navigator.mediaDevices.getUserMedia({ video: true }).catch(e => e.name)", json!("NotFoundError")),
    ];
    for (expression, want) in table {
        assert_eq!(page.evaluate(expression).await.unwrap(), want, "{expression}");
    }
    for (expression, part) in [("nothing.x", "ReferenceError"), ("Promise.reject('no')", "no"), ("(", "SyntaxError")] {
        let error = page.evaluate(expression).await.unwrap_err();
        assert!(matches!(&error, BrowserError::Script { message } if message.contains(part)), "{error}");
    }
    browser.close().await;
}

#[tokio::test]
async fn the_microphone_is_silence() {
    let (site, browser) = (Site::start().await, browser().await);
    let page = browser.open_page().await.unwrap();
    page.navigate(&site.url("/empty"), PATIENCE).await.unwrap();
    let loudest = page
        .evaluate(
            "(async () => {
                const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
                const reader = new MediaStreamTrackProcessor({ track: stream.getAudioTracks()[0] }).readable.getReader();
                let loudest = 0;
                for (let i = 0; i < 150; i++) {
                    const { value } = await reader.read();
                    const samples = new Float32Array(value.numberOfFrames);
                    value.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
                    value.close();
                    for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
                }
                return loudest;
            })()",
        )
        .await
        .unwrap();
    // A stock microphone of Chromium beeps once a second; dither may be left.
    assert!(loudest.as_f64().unwrap() < 0.001, "{loudest}");
    browser.close().await;
}

#[tokio::test]
async fn the_mouse_and_the_keyboard_are_real() {
    let (site, browser) = (Site::start().await, browser().await);
    let page = browser.open_page().await.unwrap();
    page.navigate(&site.url("/empty"), PATIENCE).await.unwrap();
    let place = "const b = i.getBoundingClientRect(); window.keys = []; \
        i.onclick = e => keys.push('click ' + e.isTrusted); i.onkeydown = e => keys.push(e.key); ({x: b.x + 9, y: b.y + 9})";
    let place = page.evaluate(place).await.unwrap();
    page.click_at(place["x"].as_f64().unwrap(), place["y"].as_f64().unwrap()).await.unwrap();
    page.insert_text("Jörg ").await.unwrap();
    for key in ["a", "b", "Backspace", "Enter"] {
        page.press_key(key).await.unwrap();
    }
    assert!(matches!(page.press_key("Nothing").await, Err(BrowserError::UnknownKey { .. })));
    assert_eq!(page.evaluate("i.value").await.unwrap(), json!("Jörg a"));
    assert_eq!(page.evaluate("keys").await.unwrap(), json!(["click true", "a", "b", "Backspace", "Enter"]));
    browser.close().await;
}

#[tokio::test]
async fn dialogs_do_not_block() {
    let (site, browser) = (Site::start().await, browser().await);
    let page = browser.open_page().await.unwrap();
    page.navigate(&site.url("/empty"), PATIENCE).await.unwrap();
    assert_eq!(page.evaluate("alert('x'); confirm('y')").await.unwrap(), json!(true));
    // A page that has been clicked may ask whether one wants to leave.
    page.evaluate("onbeforeunload = e => { e.preventDefault(); return 'no' }").await.unwrap();
    page.click_at(5.0, 5.0).await.unwrap();
    page.navigate(&site.url("/strict"), PATIENCE).await.unwrap();
    assert_eq!(page.evaluate("document.title").await.unwrap(), json!("call"));
    browser.close().await;
}
