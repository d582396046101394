//! The figures, and what the documentation says of a run.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::contest::Outcome;
use crate::quality::Lab;
use crate::{charts, scale, table};

/// Between these the documentation's last run is replaced.
const BEGIN: &str = "<!-- last run: begin -->\n";
const END: &str = "<!-- last run: end -->\n";

/// What the bench is for.
pub struct Figures {
    pub vs_fastest_peer: f64,
    pub of_roofline: f64,
    pub chain: f64,
    pub chain_opus: f64,
}

impl Figures {
    /// Takes what the contest gave and measures the chain.
    pub fn measure(outcome: &Outcome) -> Result<Self> {
        Ok(Self {
            vs_fastest_peer: outcome.ours.factor / outcome.fastest()?.factor,
            of_roofline: outcome.of_roofline(),
            chain: scale::chain_share(false, 100)?,
            chain_opus: scale::chain_share(true, 100)?,
        })
    }

    /// One line each.
    pub fn text(&self) -> String {
        self.named().map(|(name, value, _)| format!("bench {name} {value:.4}\n")).concat()
    }

    fn named(&self) -> [(&'static str, f64, &'static str); 4] {
        [
            (
                "resample_vs_fastest_peer",
                self.vs_fastest_peer,
                "our realtime factor over that of the fastest peer that is good enough",
            ),
            ("resample_of_roofline", self.of_roofline, "our multiply-adds per second over those of a bare FMA loop"),
            (
                "chain_100_bots_core_share",
                self.chain,
                "of one core: mixing down, resampling, level and voice activity for 100 bots in real time",
            ),
            ("chain_100_bots_opus_core_share", self.chain_opus, "the same, and Opus"),
        ]
    }
}

/// Draws the charts and replaces the last run in `audio.md`.
pub fn write(docs: &Path, date: &str, lab: &Lab, outcome: &Outcome, figures: &Figures) -> Result<()> {
    let best = outcome.best_of_each();
    let mut settings = vec![&outcome.ours.setting];
    settings.extend(best.iter().map(|row| &row.setting));
    let responses =
        settings.iter().map(|setting| Ok((setting.library, lab.response(setting)?))).collect::<Result<Vec<_>>>()?;
    std::fs::write(docs.join("audio-response.svg"), charts::response(&responses))?;
    let mut costs = scale::resampling(&settings)?;
    costs.push(scale::chain(false)?);
    costs.push(scale::chain(true)?);
    std::fs::write(docs.join("audio-cost.svg"), charts::cost(&costs))?;

    let path = docs.join("audio.md");
    let page = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, rest) = page.split_once(BEGIN).context("audio.md has no place for the last run")?;
    let (_, after) = rest.split_once(END).context("audio.md has no end of the last run")?;
    let run = last_run(date, outcome, figures);
    std::fs::write(&path, format!("{before}{BEGIN}{run}{END}{after}"))?;
    Ok(())
}

fn last_run(date: &str, outcome: &Outcome, figures: &Figures) -> String {
    let mut text = format!(
        "{date}, one core of {}; a bare FMA loop does {:.1} × 10⁹ multiply-adds per second\n\
         on it. Peers: {}.\n\n",
        processor(),
        outcome.roofline / 1e9,
        packages()
    );
    text.push_str("| Figure | Value | |\n| --- | ---: | --- |\n");
    for (name, value, meaning) in figures.named() {
        let _ = writeln!(text, "| `{name}` | {value:.4} | {meaning} |");
    }
    let _ = writeln!(text, "\n{}", table::markdown(outcome).trim_end());
    text
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let family = field("cpu family")
        .zip(field("model\t"))
        .map_or_else(String::new, |(family, model)| format!(" (family {family}, model {model})"));
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{name}{family}")
}

/// Versions of the peers that Debian built, and of the one that cargo did.
fn packages() -> String {
    let names = ["libsoxr0", "libspeexdsp1", "libswresample4"];
    let answer = Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Version}, "]).args(names).output();
    let debian = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned()).unwrap_or_default();
    format!("{debian}rubato 5.1 from crates.io")
}
