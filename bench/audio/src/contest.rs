//! One stream: every setting's quality and speed, and the final among those that are good enough.

use std::collections::HashMap;

use anyhow::{Context, Result};

use crate::peers::{self, Setting};
use crate::quality::{Lab, Quality, latency_ms};
use crate::race::{Runner, Stream, race};
use crate::roofline::Roofline;
use crate::{ours, signal};

/// Rejection that is good enough, if ours is not less.
const REJECTION_DB: f64 = 90.0;
/// Deviation up to 7 kHz that is still a resampler for 16 kHz: ten times what ours is allowed.
const RIPPLE_DB: f64 = 1.0;
/// Frames that everybody resamples: two seconds.
const FRAMES: usize = 96_000;
const ROUNDS: usize = 20;
const FINAL_ROUNDS: usize = 300;
/// Settings of each library in the final.
const FINALISTS: usize = 3;

/// A setting and what it did.
pub struct Row {
    pub setting: Setting,
    pub quality: Quality,
    /// Seconds of audio per second of one core.
    pub factor: f64,
}

/// What came out.
pub struct Outcome {
    pub ours: Row,
    /// Everybody else, fastest first.
    pub others: Vec<Row>,
    /// Multiply-adds per second of the bare loop.
    pub roofline: f64,
}

impl Outcome {
    /// Whether a row does the job as well as is asked.
    pub fn qualifies(&self, row: &Row) -> bool {
        row.quality.rejection_db >= self.ours.quality.rejection_db.min(REJECTION_DB)
            && row.quality.ripple_db <= RIPPLE_DB
    }

    /// The fastest that qualifies.
    pub fn fastest(&self) -> Result<&Row> {
        self.others.iter().find(|row| self.qualifies(row)).context("no peer is good enough")
    }

    /// The fastest of each library that qualifies, fastest first.
    pub fn best_of_each(&self) -> Vec<&Row> {
        let mut best: Vec<&Row> = Vec::new();
        for row in self.others.iter().filter(|row| self.qualifies(row)) {
            if best.iter().all(|other| other.setting.library != row.setting.library) {
                best.push(row);
            }
        }
        best
    }

    /// Our multiply-adds per second as a share of the bare loop's.
    pub fn of_roofline(&self) -> f64 {
        ours::multiplications() as f64 * 16_000.0 * self.ours.factor / self.roofline
    }
}

/// Measures everything.
pub fn hold(lab: &Lab) -> Result<Outcome> {
    let input = signal::speech(1, FRAMES);
    let mut settings = vec![peers::ours()];
    settings.extend(peers::others());
    let (factors, _) = factors(&settings.iter().collect::<Vec<_>>(), &input, ROUNDS)?;
    let qualities = qualities(lab, &settings)?;
    let mut rows = settings.into_iter().zip(qualities).zip(factors);
    let mut rows = rows.by_ref().map(|((setting, quality), factor)| Row { setting, quality, factor });
    let ours = rows.next().context("ours is the first")?;
    let mut outcome = Outcome { ours, others: rows.collect(), roofline: 0.0 };
    finish(&mut outcome, &input)?;
    Ok(outcome)
}

/// Times the best of each library again, with ours and the bare loop, for longer.
fn finish(outcome: &mut Outcome, input: &[i16]) -> Result<()> {
    sort(&mut outcome.others);
    let mut count = HashMap::<&str, usize>::new();
    let mut chosen = Vec::new();
    for (at, row) in outcome.others.iter().enumerate().filter(|(_, row)| outcome.qualifies(row)) {
        let of_library = count.entry(row.setting.library).or_default();
        *of_library += 1;
        if *of_library <= FINALISTS {
            chosen.push(at);
        }
    }
    let mut settings = vec![&outcome.ours.setting];
    settings.extend(chosen.iter().map(|at| &outcome.others[*at].setting));
    let (factors, roofline) = factors(&settings, input, FINAL_ROUNDS)?;
    outcome.roofline = roofline;
    outcome.ours.factor = factors[0];
    for (at, factor) in chosen.into_iter().zip(&factors[1..]) {
        outcome.others[at].factor = *factor;
    }
    sort(&mut outcome.others);
    Ok(())
}

fn sort(rows: &mut [Row]) {
    rows.sort_by(|a, b| b.factor.total_cmp(&a.factor));
}

/// Realtime factors, and multiply-adds per second of the bare loop.
fn factors(settings: &[&Setting], input: &[i16], rounds: usize) -> Result<(Vec<f64>, f64)> {
    let mut streams = settings.iter().map(|setting| Stream::new(setting, input)).collect::<Result<Vec<_>>>()?;
    let seconds: Vec<f64> = streams.iter().map(Stream::seconds).collect();
    let mut bare = Roofline;
    let mut runners: Vec<&mut dyn Runner> = streams.iter_mut().map(|stream| stream as &mut dyn Runner).collect();
    runners.push(&mut bare);
    let times = race(&mut runners, rounds);
    let factors = seconds.iter().zip(&times).map(|(seconds, time)| seconds / time.as_secs_f64()).collect();
    Ok((factors, bare.multiply_adds() / times[settings.len()].as_secs_f64()))
}

/// The block's length changes only the latency, so the rest is measured once.
fn qualities(lab: &Lab, settings: &[Setting]) -> Result<Vec<Quality>> {
    let mut known = HashMap::<(&str, &str), Quality>::new();
    settings
        .iter()
        .map(|setting| {
            let key = (setting.library, setting.name.as_str());
            let quality = match known.get(&key) {
                Some(known) => Quality { latency_ms: latency_ms(setting)?, ..*known },
                None => lab.measure(setting)?,
            };
            known.insert(key, quality);
            Ok(quality)
        })
        .collect()
}
