//! A plan for people.

use std::fmt::Write as _;

use muster_fleet::plan::PerHost;
use muster_fleet::simulate::Outcome;

use super::megabytes;
use super::plan::Planned;

/// What is said of a plan: a name and a value each.
pub(super) fn facts(planned: &Planned) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut say = |name: &str, value: String| facts.push((name.to_owned(), value));
    let PerHost { bots_per_host, binding, by_limit, budget } = &planned.per_host;
    say("Planned for", planned.of.clone());
    say("Host", format!("{}: {} vCPU, {} GiB", planned.host, planned.vcpu, planned.memory_bytes >> 30));
    say("A bot", format!("{}, {} cores", megabytes(planned.bot_memory_bytes), planned.bot_cpu));
    say("Bots per host", format!("{bots_per_host}, by {binding}"));
    for limit in by_limit {
        let bots = limit.bots.map_or_else(|| "does not matter".to_owned(), |bots| bots.to_string());
        say(&format!("  by {}", limit.limit), bots);
    }
    say("Memory for bots", format!("{} of a host", megabytes(budget.memory_bytes)));
    say("Most bots at once", planned.bots.to_string());
    say("Hosts for them", planned.hosts.to_string());
    if let Some(fleet) = &planned.fleet {
        meetings(fleet, &mut say);
    }
    money(planned, &mut say);
    facts
}

fn meetings(fleet: &Outcome, say: &mut impl FnMut(&str, String)) {
    say("Hosts at the peak", format!("{}, with the room that is kept free", fleet.peak_hosts));
    let used = fleet.utilisation * 100.0;
    say("Host hours", format!("{:.0}, {used:.0} % of their slots used", fleet.host_hours));
    let Outcome { wait_p50_s, wait_p99_s, wait_max_s, .. } = fleet;
    say("Wait to join", format!("p50 {wait_p50_s:.1} s, p99 {wait_p99_s:.1} s, longest {wait_max_s:.1} s"));
    say("Meetings missed", format!("{} of {}", fleet.missed, fleet.meetings));
}

fn money(planned: &Planned, say: &mut impl FnMut(&str, String)) {
    let bill = &planned.bill;
    let (Some(price), Some(day), Some(week), Some(month)) =
        (&planned.price, bill.usd_per_day, bill.usd_per_week, bill.usd_per_month)
    else {
        say("Cost", "not known: say --price USD for an hour of a host".to_owned());
        return;
    };
    say("A host", price.to_string());
    say("Cost", format!("{day:.0} USD a day, {week:.0} a week, {month:.0} in 30 days"));
    if let Some(days) = planned.days {
        say("", format!("if every {days:.0} days are like these (--days says another number for a file)"));
    }
    if let Some(bot) = bill.usd_per_bot_hour {
        say("", format!("{bot:.4} USD per bot and hour"));
    }
}

/// Names, and what is said, in two columns.
pub(super) fn table(planned: &Planned) -> String {
    facts(planned).iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:<20}{value}");
        text
    })
}
