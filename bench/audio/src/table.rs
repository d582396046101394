//! The table, for the terminal and for the documentation.

use std::fmt::Write as _;

use crate::contest::{Outcome, Row};

/// Every setting that was tried, fastest first, with a star where it qualifies.
pub fn text(outcome: &Outcome) -> String {
    let mut all: Vec<&Row> = outcome.others.iter().chain([&outcome.ours]).collect();
    all.sort_by(|a, b| b.factor.total_cmp(&a.factor));
    let width = all.iter().map(|row| row.setting.name.len()).max().unwrap_or(0);
    let mut text = format!(
        "  {:14} {:width$} {:>9} {:>12} {:>10} {:>10} {:>10}\n",
        "library", "setting", "block ms", "rejection dB", "ripple dB", "latency ms", "realtime x"
    );
    for row in all {
        let (setting, quality) = (&row.setting, row.quality);
        let star = if outcome.qualifies(row) { '*' } else { ' ' };
        let _ = writeln!(
            text,
            "{star} {:14} {:width$} {:9.1} {:12.1} {:10.3} {:10.1} {:10.0}",
            setting.library,
            setting.name,
            setting.block as f64 / 48.0,
            quality.rejection_db,
            quality.ripple_db,
            quality.latency_ms,
            row.factor
        );
    }
    text
}

/// Ours, the fastest of each library that qualifies, and the fastest of each that does not if it is faster.
pub fn markdown(outcome: &Outcome) -> String {
    let mut rows = vec![&outcome.ours];
    for best in outcome.best_of_each() {
        let of_library = |row: &&Row| row.setting.library == best.setting.library && !outcome.qualifies(row);
        rows.push(best);
        rows.extend(outcome.others.iter().find(of_library).filter(|row| row.factor > best.factor));
    }
    rows.sort_by(|a, b| b.factor.total_cmp(&a.factor));
    let mut text = String::from(
        "| Library | Setting | Block, ms | Rejection, dB | Ripple to 7 kHz, dB | Latency, ms | Realtime factor |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let (setting, quality) = (&row.setting, row.quality);
        let _ = writeln!(
            text,
            "| {} | {}{} | {:.1} | {:.1} | {:.3} | {:.1} | {:.0} |",
            setting.library,
            setting.name,
            if outcome.qualifies(row) { "" } else { " (not good enough)" },
            setting.block as f64 / 48.0,
            quality.rejection_db,
            quality.ripple_db,
            quality.latency_ms,
            row.factor
        );
    }
    text
}
