//! The engine with small meeting pages that do what a test commands.

mod evidence;
mod page;
mod sound;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use muster_platform::browser::Browser;
use muster_platform::meeting::{MeetingPage, OpenError, PageEvent, Visit};
use muster_platform::pack::Pack;
use url::Url;

use crate::take::PATIENCE;

const HEAD: &str = r"
id = 'demo'
label = 'Demo'
seen = '2026-11-28'
example = 'https://demo.example/'
[[link]]
pattern = '^https://demo\.example/$'
join_url = '{url}'
key = 'demo'
";

/// A pack with this in it.
fn pack(rest: &str) -> Arc<Pack> {
    Arc::new(Pack::parse(&format!("{HEAD}{rest}")).unwrap_or_else(|error| panic!("{error}\n{rest}")))
}

async fn try_visit(browser: &Browser, pack: Arc<Pack>, url: Url) -> Result<MeetingPage, OpenError> {
    let visit = Visit { pack, url, bot_name: "Bot \"7\" <é>".to_owned() };
    tokio::time::timeout(PATIENCE, MeetingPage::open(browser, visit)).await.unwrap()
}

async fn visit(browser: &Browser, pack: Arc<Pack>, url: Url) -> MeetingPage {
    try_visit(browser, pack, url).await.unwrap()
}

/// Long enough for a machine under load; a test that hangs fails here.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("nothing happened")
}

/// The next event that is not about sound; at the end, nothing.
async fn next(page: &mut MeetingPage) -> Option<PageEvent> {
    loop {
        let event = soon(page.next()).await;
        let is_sound = matches!(
            event,
            Some(PageEvent::Audio { .. } | PageEvent::Received { .. } | PageEvent::TrackStarted { .. })
        );
        if !is_sound {
            return event;
        }
    }
}

fn step(name: &str) -> Option<PageEvent> {
    Some(PageEvent::Step { name: name.to_owned() })
}

const SHORT: Duration = Duration::from_secs(20);
