//! Everybody who wants a bot at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use super::inbox::Inbox;
use muster_bench_kit::KEY;

/// Nothing becomes done for so long: something is stuck.
const STUCK: Duration = Duration::from_secs(180);
/// Between lines that tell how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

pub fn client() -> Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().context("the HTTP client")
}

/// The bots, in the order of their requests.
pub struct Crowd {
    pub bots: Vec<String>,
    pub began: Instant,
}

impl Crowd {
    /// Sends every request over the connections of this client, `a_second` of them in each second, and answers when all of them
    /// have their 201.
    pub async fn create(http: &reqwest::Client, address: &str, requests: Vec<Value>, a_second: u32) -> Result<Self> {
        let began = Instant::now();
        let mut pace = tokio::time::interval(Duration::from_secs(1) / a_second);
        let mut calls: JoinSet<Result<(usize, String)>> = JoinSet::new();
        let mut bots = vec![String::new(); requests.len()];
        for (place, request) in requests.into_iter().enumerate() {
            pace.tick().await;
            while calls.len() >= 64 {
                let (place, bot) = calls.join_next().await.context("a call")???;
                bots[place] = bot;
            }
            let (http, url) = (http.clone(), format!("http://{address}/api/v1/bots/create_bot"));
            calls.spawn(async move {
                let answer =
                    http.post(url).header("Authorization", format!("Token {KEY}")).json(&request).send().await?;
                let status = answer.status();
                let body: Value = answer.json().await?;
                ensure!(status == 201, "create answered {status}: {body}");
                Ok((place, body["bot_id"].as_str().context("no bot_id")?.to_owned()))
            });
        }
        while let Some(made) = calls.join_next().await {
            let (place, bot) = made??;
            bots[place] = bot;
        }
        eprintln!("{} bots created in {:.1} s", bots.len(), began.elapsed().as_secs_f64());
        Ok(Self { bots, began })
    }

    /// Waits until every bot is done.
    pub async fn until_done(&self, inbox: &mut Inbox) -> Result<()> {
        let (mut moved, mut told) = (Instant::now(), Instant::now());
        loop {
            let done = *inbox.done.borrow_and_update();
            if done >= self.bots.len() {
                return Ok(());
            }
            if let Ok(changed) = tokio::time::timeout(PROGRESS, inbox.done.changed()).await {
                changed?;
                moved = Instant::now();
            }
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                eprintln!("{:.0} s: {done} of {} done", self.began.elapsed().as_secs_f64(), self.bots.len());
            }
            if moved.elapsed() > STUCK {
                bail!("{} bots are not done, and nothing happened for {STUCK:?}", self.bots.len() - done);
            }
        }
    }

    /// Bots that were in their meeting, left it once for the reason it ended by, and are done.
    pub fn completed(&self, inbox: &Inbox, reason: &str) -> usize {
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        let mut completed = 0;
        for bot in &self.bots {
            let heard = inbox.of(bot);
            let why = heard.reason.as_deref().unwrap_or("none");
            *ends.entry(format!("{why}{}", if heard.inside { "" } else { " without a meeting" })).or_default() += 1;
            completed += usize::from(heard.inside && heard.done && heard.ends == 1 && why == reason);
        }
        eprintln!("all done after {:.0} s; ends: {ends:?}", self.began.elapsed().as_secs_f64());
        completed
    }
}

/// What the API says of a bot.
pub async fn detail(http: &reqwest::Client, address: &str, bot: &str) -> Result<Value> {
    let answer = get(http, &format!("http://{address}/api/v1/bots/{bot}/detail")).await?;
    Ok(answer["bot_details"].clone())
}

pub async fn get(http: &reqwest::Client, url: &str) -> Result<Value> {
    let answer = http.get(url).header("Authorization", format!("Token {KEY}")).send().await?;
    let status = answer.status();
    ensure!(status.is_success(), "{url} answered {status}");
    Ok(answer.json().await?)
}
