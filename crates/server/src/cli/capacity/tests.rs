use clap::Parser;

use super::plan::PlanArgs;
use super::simulate::SimulateArgs;

#[derive(Debug, Parser)]
struct Plan {
    #[command(flatten)]
    args: PlanArgs,
}

#[derive(Debug, Parser)]
struct Simulate {
    #[command(flatten)]
    args: SimulateArgs,
}

#[test]
fn bad_input_names_the_flag_and_what_was_expected() {
    for (flags, wanted) in [
        (&["--host", "c5.huge"][..], "c5.4xlarge"),
        (&["--bot-memory", "1.5"], "a size such as 1.5GB"),
        (&["--bot-cpu=-1"], "a number of cores"),
        (&["--bots", "0"], "1..=10000000"),
        (&["--bots", "1", "--meetings", "2"], "cannot be used with"),
        (&["--measured", "--bot-cpu", "1"], "cannot be used with"),
        (&["--headroom", "91"], "0..=90"),
    ] {
        let error = Plan::try_parse_from([&["plan"], flags].concat()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{flags:?}: {error}");
    }
    assert!(Simulate::try_parse_from(["simulate", "--policy", "magic"]).is_err());
}

#[test]
fn pages_have_plots_and_no_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let plan = Plan::parse_from(["plan", "--meetings", "300", "--json", "--html", &file("plan.html")]);
    super::plan::run(&plan.args).unwrap();
    let simulate = Simulate::parse_from(["simulate", "--meetings", "300", "--html", &file("week.html")]);
    super::simulate::run(&simulate.args).unwrap();
    for name in ["plan.html", "week.html"] {
        let page = std::fs::read_to_string(file(name)).unwrap();
        assert_eq!(page.matches("<svg").count(), 3, "{name}");
        assert!(!page.contains("<script") && page.contains("predictive"), "{name}");
    }
}

#[test]
fn a_trace_that_cannot_be_read_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meetings.csv");
    std::fs::write(&path, "start,duration_s\n0,sixty\n").unwrap();
    let simulate = Simulate::parse_from(["simulate", "--trace", path.to_str().unwrap()]);
    let error = format!("{:#}", super::simulate::run(&simulate.args).unwrap_err());
    assert!(error.contains("meetings.csv") && error.contains("line 2: duration_s"), "{error}");
}
