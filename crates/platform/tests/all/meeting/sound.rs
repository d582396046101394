//! Sound with its owner, as far as the engine is concerned; `capture` has the rest.

use muster_platform::meeting::{MeetingPage, PageEvent};

use super::{pack, soon, visit};
use crate::site::{Site, browser};

const REST: &str = "
[[steps]]
name = 'x'
wait = 'html'
[[evidence]]
state = 'admitted'
selector = 'body'
hidden = true
";

/// The first owner that is said of a track, and the track's number.
async fn owner(page: &mut MeetingPage) -> (u32, String) {
    loop {
        match soon(page.next()).await {
            Some(PageEvent::TrackStarted { track, participant: Some(owner) }) => return (track, owner),
            Some(_) => {}
            None => panic!("the page is gone"),
        }
    }
}

#[tokio::test]
async fn a_track_is_said_again_with_its_owner_and_heard() {
    let (site, browser) = (Site::start().await, browser().await);
    let script = "return typeof call === 'object' && call.stream ? { [call.stream.id]: 'ada' } : null;";
    let pack = pack(&format!("{REST}[tracks]\nby = 'script'\nscript = \"{script}\"\n"));
    let mut page = visit(&browser, pack, site.url("/call")).await;
    let (track, who) = owner(&mut page).await;
    assert_eq!(who, "ada");
    let mut received = 0;
    loop {
        match soon(page.next()).await.unwrap() {
            PageEvent::Audio { track: of, pcm, .. } if pcm.iter().any(|sample| sample.unsigned_abs() > 1_000) => {
                assert_eq!(of, track);
                if received > 0 {
                    break;
                }
            }
            PageEvent::Received { bytes } => received = received.max(bytes),
            _ => {}
        }
    }
    page.reattach().await.unwrap();
    browser.close().await;
}
