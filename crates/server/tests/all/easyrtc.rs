//! A meeting page that we did not write, joined by a pack and nothing else: the engine learns of it from
//! `tests/packs/easyrtc.toml`. Another Chromium plays a tone into the call; the recording must have it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use muster_audio::{RATE, probe, tone, wav};
use muster_platform::browser::Browser;
use muster_platform::page::Page;
use muster_session::protocol::BrowserSpec;
use serde_json::json;

use crate::harness::{PATIENCE, Receiver, Server, assert_lawful, eventually, names};

/// Below the browser client's own patience with an answer.
const PATIENCE_IN_PAGE_MS: u32 = 20_000;
const TONE_HZ: f32 = 660.0;

/// The page's own server. It ends when its standard input does.
struct Site {
    child: Child,
    link: String,
}

impl Site {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let modules = root.join(".tools/easyrtc/node_modules");
        assert!(modules.is_dir(), "{} is missing: run `make test`, which installs it", modules.display());
        let mut child = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/easyrtc/server.js"))
            .env("NODE_PATH", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the page's server ended before it listened").unwrap();
            if line.starts_with("http://127.0.0.1:") {
                break line;
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, link: format!("{url}/demos/demo_multistream.html") }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody with a browser and a microphone that plays a tone for ever.
struct Speaker {
    _browser: Browser,
    _page: Page,
    _dir: tempfile::TempDir,
}

impl Speaker {
    async fn join(link: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tone.wav");
        // A whole number of periods, so that the loop has no seam.
        std::fs::write(&file, wav::write(RATE, 1, &tone::sine(TONE_HZ, 2_000, 0.5, RATE))).unwrap();
        let spec = BrowserSpec {
            allow_loopback: true,
            extra_args: vec![
                "--use-fake-device-for-media-stream".to_owned(),
                format!("--use-file-for-fake-audio-capture={}", file.display()),
            ],
            ..BrowserSpec::default()
        };
        let browser = Browser::launch(&spec).await.unwrap();
        let page = browser.open_page().await.unwrap();
        page.navigate(&link.parse().unwrap(), PATIENCE).await.unwrap();
        page.evaluate("connect()").await.unwrap();
        until(&page, "document.getElementById('iam').textContent.startsWith('I am ') && audioCurrentId !== null").await;
        // Sound as it is: what the browser does to speech would change a tone.
        let plain = "easyrtc._presetMediaConstraints = \
             {audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}, video: false}; \
             createMediaStream()";
        page.evaluate(plain).await.unwrap();
        until(&page, "document.querySelector('#localVideos video') !== null").await;
        Self { _browser: browser, _page: page, _dir: dir }
    }
}

/// Waits in the page, frame by frame, until the expression is true.
async fn until(page: &Page, expression: &str) {
    let wait = format!(
        "new Promise((yes, no) => {{ const end = Date.now() + {}; const look = () => {{ \
         try {{ if ({expression}) return yes(true); }} catch (e) {{ return no(e); }} \
         if (Date.now() > end) return no(new Error('not in time')); setTimeout(look, 50); }}; look(); }})",
        PATIENCE_IN_PAGE_MS
    );
    page.evaluate(&wait).await.unwrap_or_else(|error| panic!("{expression}: {error}"));
}

#[tokio::test]
async fn a_page_of_another_author_is_joined_by_a_pack_alone() {
    let site = Site::start();
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packs");
    let server = Server::start(&format!("[packs]\ndir = {:?}\n", packs.display().to_string()));
    let hook = Receiver::start().await;
    let _speaker = Speaker::join(&site.link).await;

    let bot = server
        .create(json!({
            "meeting_link": site.link,
            "bot_name": "Notes",
            "callback_url": hook.url,
            "custom_attributes": {"case": "e2e"},
        }))
        .await;
    hook.event(&bot, "bot.recording").await;
    let segments = server.data.join(format!("media/recordings/default/{bot}/a1/mixed"));
    let stored = || {
        std::fs::read_dir(&segments)
            .map_or(0, |files| files.flatten().filter(|f| f.path().extension().is_some_and(|e| e == "ogg")).count())
    };
    eventually("eight stored segments", || stored() >= 8).await;
    server.get(&format!("/api/v1/bots/{bot}/remove_bot")).await;
    let seen = hook.done(&bot).await;
    assert_lawful(&seen);
    let want = [
        "bot.joining",
        "bot.inmeeting",
        "bot.recording",
        "bot.leaving",
        "bot.stopped",
        "manifest.completed",
        "audio.processed",
        "bot.done",
    ];
    assert_eq!(names(&seen), want);

    let audio = server.recording(&bot).await;
    let second = RATE as usize;
    let last = &audio[audio.len() - 3 * second..audio.len() - second];
    let hz = probe::dominant_frequency(last, RATE);
    assert!((hz - TONE_HZ).abs() < 2.0, "{hz} Hz in the recording");
    let heard: i64 = probe::onsets(&audio, RATE, TONE_HZ).iter().map(|(from, to)| i64::from(to - from)).sum();
    assert!(heard >= 5_000, "only {heard} ms of {} ms have the tone", audio.len() / 48);
}
