//! `muster doctor`: is everything here that a server on this machine needs?
//!
//! `probe` looks at the machine, and with the crate's `backends` at queue and store, `vendors` asks the speech-to-text
//! services, `judge` decides what it means and how to mend it. `judge` does no I/O.

mod judge;
mod probe;
mod vendors;

use std::process::ExitCode;

use serde_json::json;

use crate::config::Config;
use judge::{Check, Verdict};

/// Looks at the machine and says what is missing. 1 if something is that the server cannot do without.
///
/// # Errors
///
/// Nothing that is wrong with the machine is an error; only the means to look can fail.
pub async fn run(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let facts = probe::look(config).await;
    let checks = judge::judge(&facts);
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    if json {
        println!("{}", json!({"ok": !failed, "checks": checks}));
    } else {
        print!("{}", render(&checks));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn render(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        text.push_str(&[verdict, "  ", &format!("{:width$}", check.name), "  ", &check.detail, "\n"].concat());
        if let Some(fix) = &check.fix {
            text.push_str(&[&" ".repeat(8 + width), "fix: ", fix, "\n"].concat());
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let summary = match (count(Verdict::Fail), count(Verdict::Warn)) {
        (0, 0) => "All is well: `muster serve` can run here.".to_owned(),
        (0, warnings) => format!("`muster serve` can run here, with {warnings} thing(s) to improve."),
        (failures, _) => format!("{failures} thing(s) must be mended before `muster serve` can do its work here."),
    };
    text.push_str(&["\n", &summary, "\n"].concat());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_followed_by_its_fix() {
        let checks = [
            Check::ok("port", "127.0.0.1:8080 is free"),
            Check::fail("chromium", "not found", "apt-get install chromium"),
        ];
        let want = "ok    port      127.0.0.1:8080 is free\n\
                    FAIL  chromium  not found\n                fix: apt-get install chromium\n\
                    \n1 thing(s) must be mended before `muster serve` can do its work here.\n";
        assert_eq!(render(&checks), want);
    }
}
