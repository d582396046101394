//! What one bot uses: a few of them in a long meeting where somebody speaks, by what their worker measures.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::Figure;
use crate::monday::crowd;
use muster_bench_kit as kit;

const BOTS: usize = 4;
/// Long enough for what was measured to take over from what was reserved.
const SECONDS: u64 = 90;

pub async fn measure() -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let settings = [("MUSTER_WORKER__BOT_CPU", "0.25"), ("MUSTER_WORKER__BOT_MEMORY", "500MB")];
    let (process, address) = kit::muster("all", dir.path(), &settings).await?;
    let http = crowd::client()?;
    let scenario = json!({
        "participants": [{"id": "ada", "name": "Ada", "speaks": [{"at": 1, "tone_hz": 440, "ms": 20_000, "every": 25}]}, {"id": "ben", "name": "Ben"}],
        "timeline": [{"at": SECONDS + 60, "do": "end"}],
    });
    let answer = http.put(format!("http://{address}/sandbox/api/rooms/cost")).json(&scenario).send().await?;
    ensure!(answer.status().is_success(), "the room answered {}", answer.status());
    let request = json!({"meeting_link": format!("http://{address}/sandbox/cost"), "bot_name": "Notes"});
    crowd::Crowd::create(&http, &address, vec![request; BOTS], 4).await?;
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let workers = crowd::get(&http, &format!("http://{address}/api/v1/workers")).await?;
    process.kill().await?;
    eprintln!("{:#}", workers["workers"][0]);
    let bots = workers["workers"][0]["bots"].as_array().context("the worker has no bots")?;
    ensure!(bots.len() == BOTS, "{} of {BOTS} bots are there", bots.len());
    let most = |field: &str| bots.iter().filter_map(|bot| bot[field].as_f64()).fold(0.0, f64::max);
    Ok(vec![
        Figure { name: "bot_memory_mb", value: most("memory_bytes") / 1e6 },
        Figure { name: "bot_cpu_cores", value: most("cpu_millis") / 1e3 },
    ])
}
