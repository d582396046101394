use super::*;
use crate::pack::Pack;

/// A visit in which the test holds the clock.
struct Visit {
    judge: Judge,
    start: Instant,
}

impl Visit {
    fn new() -> Self {
        let pack = Pack::parse(
            r##"
id = "demo"
label = "Demo"
seen = "2026-11-01"
example = "https://demo.example/"
[[link]]
pattern = '^https://demo\.example/$'
join_url = "{url}"
key = "x"
[[evidence]] # 0
state = "lobby"
selector = "#lobby"
priority = 10
debounce_ms = 500
[[evidence]] # 1
state = "admitted"
selector = "#call"
debounce_ms = 300
[[evidence]] # 2
state = "removed"
selector = "#removed"
priority = 20
debounce_ms = 200
after = "admitted"
message = "Gone"
[[evidence]] # 3
state = "denied"
selector = "#removed"
priority = 20
debounce_ms = 200
before = "admitted"
[[evidence]] # 4
state = "left"
selector = "#left"
priority = 30
"##,
        );
        Self { judge: Judge::new(pack.unwrap().evidence()), start: Instant::now() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// These rules hold from now on; what is said at once.
    fn shows(&mut self, ms: u64, holds: &[usize]) -> Vec<Verdict> {
        let now = self.at(ms);
        self.judge.observe(now, holds);
        self.says(ms)
    }

    fn says(&mut self, ms: u64) -> Vec<Verdict> {
        let now = self.at(ms);
        std::iter::from_fn(|| self.judge.verdict(now)).collect()
    }

    fn next_ms(&self, ms: u64) -> Option<u128> {
        self.judge.next_at(self.at(ms)).map(|at| (at - self.start).as_millis())
    }
}

fn over(reason: EndReason, message: &str) -> Verdict {
    Verdict::Over { reason, message: message.to_owned() }
}

#[test]
fn evidence_counts_after_its_debounce() {
    let mut visit = Visit::new();
    assert_eq!(visit.shows(0, &[1]), []);
    assert_eq!(visit.next_ms(0), Some(300));
    assert_eq!(visit.says(299), []);
    assert_eq!(visit.says(300), [Verdict::Admitted]);
    assert_eq!(visit.says(900), [], "said once");
    assert_eq!(visit.next_ms(900), None);
}

#[test]
fn a_break_starts_the_debounce_again() {
    let mut visit = Visit::new();
    visit.shows(0, &[1]);
    visit.shows(200, &[]);
    visit.shows(250, &[1]);
    assert_eq!(visit.says(400), []);
    assert_eq!(visit.says(550), [Verdict::Admitted]);
}

#[test]
fn the_controls_of_a_call_in_a_lobby_do_not_count() {
    let mut visit = Visit::new();
    assert_eq!(visit.shows(0, &[0, 1]), []);
    assert_eq!(visit.says(400), [], "the younger rule of higher priority keeps the other quiet");
    assert_eq!(visit.says(500), [Verdict::Lobby]);
    assert_eq!(visit.shows(900, &[1]), [Verdict::Admitted]);
    assert_eq!(visit.shows(1_000, &[0, 1]), []);
    assert_eq!(visit.says(1_500), [Verdict::Lobby], "back in the lobby is told as well");
}

#[test]
fn the_same_words_mean_another_thing_before_and_after_admission() {
    let mut visit = Visit::new();
    visit.shows(0, &[2, 3]);
    assert_eq!(visit.says(200), [over(EndReason::JoinDenied, EndReason::JoinDenied.message())]);
    let mut visit = Visit::new();
    visit.shows(0, &[1]);
    assert_eq!(visit.says(300), [Verdict::Admitted]);
    visit.shows(400, &[2, 3]);
    assert_eq!(visit.says(600), [over(EndReason::Kicked, "Gone")]);
    assert_eq!(visit.shows(700, &[1]), [], "an end is final");
    assert_eq!(visit.next_ms(700), None);
}

#[test]
fn a_failed_step_ends_the_visit_only_if_nothing_else_is_shown() {
    let mut visit = Visit::new();
    visit.judge.step_failed("stuck".to_owned());
    assert_eq!(visit.says(0), [over(EndReason::UiChanged, "stuck")]);

    let mut visit = Visit::new();
    visit.shows(0, &[2, 3]);
    visit.judge.step_failed("stuck".to_owned());
    assert_eq!(visit.says(100), [], "a denial is about to be established");
    assert_eq!(visit.says(200), [over(EndReason::JoinDenied, EndReason::JoinDenied.message())]);

    let mut visit = Visit::new();
    visit.shows(0, &[0]);
    visit.judge.step_failed("stuck".to_owned());
    assert_eq!(visit.says(100), []);
    assert_eq!(visit.says(500), [Verdict::Lobby, Verdict::Note("stuck".to_owned())]);
}

#[test]
fn leaving_makes_an_end_the_goal() {
    let mut visit = Visit::new();
    visit.judge.leaving();
    assert!(!visit.judge.is_out());
    assert_eq!(visit.shows(0, &[4]), []);
    assert!(visit.judge.is_out());
    let mut visit = Visit::new();
    assert_eq!(visit.shows(0, &[4]), [over(EndReason::ConnectionLost, "The page left the call by itself")]);
    assert!(!visit.judge.is_out());
}

#[test]
fn indexes_out_of_range_are_ignored() {
    assert_eq!(Visit::new().shows(0, &[99]), []);
}
