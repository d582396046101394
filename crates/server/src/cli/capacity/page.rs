//! Pages that need nothing beside themselves.

use std::fmt::Write as _;

use muster_fleet::simulate::{Outcome, Sample};

use super::chart::{self, Axis, COLOURS, GRID, Series};
use super::plan::Planned;
use super::plan_text;
use super::simulate::{self, COLUMNS, Compared, LEGEND};

const STYLE: &str = ":root{color-scheme:light dark;--paper:light-dark(#fff,#15181c);--ink:light-dark(#1b1f24,#e6e8ea);--rule:light-dark(#dcdfe3,#3a4048)}\
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;background:var(--paper);color:var(--ink)}\
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}\
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--rule);white-space:pre}th:first-child,td:first-child,.facts td{text-align:left}\
.wide{overflow-x:auto;font-size:.9rem}figure{margin:1.5rem 0}svg{max-width:100%;height:auto}pre{overflow:auto}figcaption{font-weight:600}\
svg text{fill:var(--ink)}svg [stroke=\"#000000\"]{stroke:var(--ink)}svg [fill=\"#FFFFFF\"]{fill:var(--paper)}";

/// On dark paper, what is drawn in each of the colours of plots.
const ON_DARK: [&str; 5] = ["#6cb2f0", "#ff9d4d", "#4fd0a0", "#e08cc4", "#D6C65A"];

/// A wait that is drawn higher than this says nothing more: the meeting is missed.
const MISSED_S: f64 = 300.0;

/// The page of a plan.
pub(super) fn of_plan(planned: &Planned) -> anyhow::Result<String> {
    let mut body = String::from("<table class=\"facts\">");
    for (name, value) in plan_text::facts(planned) {
        let _ = write!(body, "<tr><td>{}</td><td>{}</td></tr>", escape(&name), escape(&value));
    }
    body.push_str("</table>");
    if let Some(fleet) = &planned.fleet {
        let axis = axis(planned.is_week);
        figure(&mut body, "Bots, and room for them", &room(axis, fleet, planned.per_host.bots_per_host)?);
        let hosts = over_time("hosts", fleet, |sample| f64::from(sample.workers));
        figure(&mut body, "Hosts", &chart::lines(axis, "hosts", &[hosts])?);
        figure(&mut body, WAITS, &waits(std::slice::from_ref(fleet))?);
    }
    Ok(page("Capacity plan", &planned.of, &body))
}

/// The page of a comparison.
pub(super) fn of_comparison(compared: &Compared) -> anyhow::Result<String> {
    let mut body = String::from("<div class=\"wide\"><table><tr><th>policy</th>");
    for (name, _) in COLUMNS {
        let _ = write!(body, "<th>{name}</th>");
    }
    body.push_str("</tr>");
    for outcome in &compared.policies {
        let _ = write!(body, "<tr><td>{}</td>", escape(&outcome.policy));
        for (_, cell) in COLUMNS {
            let _ = write!(body, "<td>{}</td>", escape(&cell(outcome)));
        }
        body.push_str("</tr>");
    }
    let _ = write!(body, "</table></div><p>{}</p>", LEGEND.join("<br>"));
    let axis = axis(compared.is_week);
    let each = |of: fn(&Sample) -> f64| {
        compared.policies.iter().map(|outcome| over_time(&outcome.policy, outcome, of)).collect::<Vec<_>>()
    };
    figure(&mut body, "Hosts", &chart::lines(axis, "hosts", &each(|sample| f64::from(sample.workers)))?);
    let waiting = chart::lines(axis, "bots", &each(|sample| f64::from(sample.waiting)))?;
    figure(&mut body, "Bots that wait for a place", &waiting);
    figure(&mut body, WAITS, &waits(&compared.policies)?);
    for outcome in &compared.policies {
        let caption = format!("Bots, and room for them: {}", escape(&outcome.policy));
        figure(&mut body, &caption, &room(axis, outcome, compared.bots_per_host)?);
    }
    Ok(page("Scaling policies", &simulate::facts(compared), &body))
}

fn axis(is_week: bool) -> Axis {
    if is_week { Axis::Week } else { Axis::Days }
}

fn room(axis: Axis, outcome: &Outcome, slots: u32) -> anyhow::Result<String> {
    let running = over_time("bots", outcome, |sample| f64::from(sample.running));
    let room = over_time("room for bots", outcome, |sample| f64::from(sample.workers) * f64::from(slots));
    chart::lines(axis, "bots", &[running, room])
}

fn over_time<'a>(name: &'a str, outcome: &Outcome, of: impl Fn(&Sample) -> f64) -> Series<'a> {
    let days = |sample: &Sample| sample.at_s as f64 / 86_400.0;
    Series { name, points: outcome.samples.iter().map(|sample| (days(sample), of(sample))).collect() }
}

const WAITS: &str = "Waits to join: how long so many of 100 bots waited at most (cut at 5 minutes)";

fn waits(outcomes: &[Outcome]) -> anyhow::Result<String> {
    let points = |outcome: &Outcome| {
        let waits = outcome.wait_by_percent_s.iter().enumerate();
        waits.map(|(percent, seconds)| (percent as f64, seconds.min(MISSED_S))).collect()
    };
    let series: Vec<Series<'_>> =
        outcomes.iter().map(|outcome| Series { name: &outcome.policy, points: points(outcome) }).collect();
    chart::lines(Axis::Percent, "seconds", &series)
}

fn figure(body: &mut String, caption: &str, svg: &str) {
    let _ = write!(body, "<figure><figcaption>{caption}</figcaption>{svg}</figure>");
}

fn page(title: &str, facts: &str, body: &str) -> String {
    let mut style = format!("{STYLE}svg [stroke=\"{GRID}\"]{{stroke:var(--rule)}}");
    for (light, dark) in COLOURS.iter().zip(ON_DARK) {
        let _ = write!(style, "svg [stroke=\"{light}\"]{{stroke:light-dark({light},{dark})}}");
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{style}</style><h1>{title}</h1><p>{}</p>{body}</html>\n",
        escape(facts)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
