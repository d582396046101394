//! Pages that need nothing beside themselves.

use std::fmt::Write as _;

use muster_fleet::simulate::{Outcome, Sample};

use super::chart::{self, Series};
use super::plan::Planned;
use super::simulate::{COLUMNS, Compared};
use super::{megabytes, plan};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark;\
background:light-dark(#fff,#15181c);color:light-dark(#1b1f24,#e6e8ea)}table{border-collapse:collapse;margin:1rem 0}\
th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid light-dark(#ddd,#3a4048)}th:first-child,td:first-child{text-align:left}\
figure{margin:1.5rem 0}svg{max-width:100%;height:auto;border-radius:6px}pre{overflow:auto}caption,figcaption{text-align:left;font-weight:600}";

/// The page of a plan.
pub(super) fn of_plan(planned: &Planned) -> anyhow::Result<String> {
    let mut body = String::from("<table><caption>What it takes</caption>");
    let mut row = |name: &str, value: String| {
        let _ = write!(body, "<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(&value));
    };
    row("Host", format!("{}: {} vCPU, {} GiB", planned.host, planned.vcpu, planned.memory_bytes >> 30));
    row("A bot", format!("{}, {} cores", megabytes(planned.bot_memory_bytes), planned.bot_cpu));
    row("Bots per host", format!("{}, by {}", planned.per_host.bots_per_host, planned.per_host.binding));
    row("Most bots at once", planned.bots.to_string());
    row("Hosts for them", planned.hosts.to_string());
    if let Some(month) = planned.bill.usd_per_month {
        row("Cost", format!("{month:.0} USD in 30 days ({})", planned.prices));
    }
    body.push_str("</table><table><caption>Bots per host, by each limit</caption>");
    for limit in &planned.per_host.by_limit {
        let bots = limit.bots.map_or_else(|| "does not matter".to_owned(), |bots| bots.to_string());
        let _ = write!(body, "<tr><td>{}</td><td>{bots}</td></tr>", limit.limit);
    }
    body.push_str("</table>");
    if let Some(fleet) = &planned.fleet {
        let slots = f64::from(planned.per_host.bots_per_host);
        let running = over_time("bots", fleet, |sample| f64::from(sample.running));
        let room = over_time("room for bots", fleet, |sample| f64::from(sample.workers) * slots);
        figure(&mut body, "Bots, and room for them", &chart::lines("days", "bots", &[room, running])?);
        let hosts = over_time("hosts", fleet, |sample| f64::from(sample.workers));
        figure(&mut body, "Hosts", &chart::lines("days", "hosts", &[hosts])?);
        figure(&mut body, "Waits to join", &waits(std::slice::from_ref(fleet))?);
    }
    let _ = write!(
        body,
        "<details><summary>All of it</summary><pre>{}</pre></details>",
        escape(&format!("{:#}", plan::as_json(planned)))
    );
    Ok(page("Capacity plan", &planned.of, &body))
}

/// The page of a comparison.
pub(super) fn of_comparison(compared: &Compared) -> anyhow::Result<String> {
    let mut body = String::from("<table><caption>Policies side by side</caption><tr><th>policy</th>");
    for (name, _) in COLUMNS {
        let _ = write!(body, "<th>{name}</th>");
    }
    body.push_str("</tr>");
    for outcome in &compared.policies {
        let _ = write!(body, "<tr><td>{}</td>", outcome.policy);
        for (_, cell) in COLUMNS {
            let _ = write!(body, "<td>{}</td>", escape(&cell(outcome)));
        }
        body.push_str("</tr>");
    }
    body.push_str("</table><p>Waits are from when a bot was to be there until it was in its call. Missed: later than five minutes, or not at all. Killed: calls that ended with their worker.</p>");
    let each = |of: fn(&Sample) -> f64| {
        compared.policies.iter().map(|outcome| over_time(&outcome.policy, outcome, of)).collect::<Vec<_>>()
    };
    figure(&mut body, "Hosts", &chart::lines("days", "hosts", &each(|sample| f64::from(sample.workers)))?);
    figure(
        &mut body,
        "Bots that wait for a place",
        &chart::lines("days", "bots", &each(|sample| f64::from(sample.waiting)))?,
    );
    figure(&mut body, "Waits to join", &waits(&compared.policies)?);
    let facts = format!(
        "{}; at most {} at once, on {} with {} bots each",
        compared.of, compared.peak_bots, compared.host, compared.bots_per_host
    );
    Ok(page("Scaling policies", &facts, &body))
}

fn over_time<'a>(name: &'a str, outcome: &Outcome, of: impl Fn(&Sample) -> f64) -> Series<'a> {
    let days = |sample: &Sample| sample.at_s as f64 / 86_400.0;
    Series { name, points: outcome.samples.iter().map(|sample| (days(sample), of(sample))).collect() }
}

/// How long so many of 100 waited at most, by policy.
fn waits(outcomes: &[Outcome]) -> anyhow::Result<String> {
    let seconds = |outcome: &Outcome, percent: u32| {
        outcome.waits.at(f64::from(percent) / 100.0).map_or(0.0, |millis| millis as f64 / 1_000.0)
    };
    let series: Vec<Series<'_>> = outcomes
        .iter()
        .map(|outcome| Series {
            name: &outcome.policy,
            points: (0..=100).map(|percent| (f64::from(percent), seconds(outcome, percent))).collect(),
        })
        .collect();
    chart::lines("percent of bots", "waited at most, s", &series)
}

fn figure(body: &mut String, caption: &str, svg: &str) {
    let _ = write!(body, "<figure><figcaption>{caption}</figcaption>{svg}</figure>");
}

fn page(title: &str, facts: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{}</p>{body}</html>\n",
        escape(facts)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
