use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

#[test]
fn reads_seconds_and_times() {
    let trace = Trace::read("start,duration_s,tenant,booked_s\n90,600,b,3600\n30,60,,\n\n45,1.5,b,\n").unwrap();
    let starts: Vec<u64> = trace.meetings.iter().map(|meeting| meeting.start.as_secs()).collect();
    assert_eq!((starts, trace.tenants), (vec![0, 15, 60], vec!["b".to_owned(), "default".to_owned()]));
    assert_eq!(trace.meetings[2].booked, Duration::from_secs(3_600));
    let trace = Trace::read("start,duration_s\n2026-11-30T09:00:00Z,60\n2026-11-30T09:30:00Z,60").unwrap();
    assert_eq!(trace.length(), Duration::from_secs(1_860));
}

#[test]
fn columns_come_in_any_order() {
    let trace = Trace::read("\u{feff}booked_s, duration_s ,start\r\n60,600,5\r\n").unwrap();
    let want = Meeting {
        start: Duration::ZERO,
        duration: Duration::from_secs(600),
        tenant: 0,
        booked: Duration::from_secs(60),
    };
    assert_eq!((trace.meetings, trace.tenants), (vec![want], vec!["default".to_owned()]));
}

#[test]
fn what_is_wrong_is_said_by_line_and_column() {
    for (text, want) in [
        ("", "line 1: column 1: expected one of start, duration_s, tenant, booked_s, got \"\""),
        ("start,long\n", "line 1: column 2: expected one of start, duration_s, tenant, booked_s, got \"long\""),
        ("start,duration_s,start\n", "line 1: column 3: start is there twice"),
        ("tenant,start\n", "line 1: there is no column duration_s"),
        (
            "start,duration_s\n1,2\nx,3\n",
            "line 3: start: expected a time such as 2026-11-30T09:00:00Z, or seconds from 0 to 4000000000, got \"x\"",
        ),
        ("start,duration_s\n1,-2\n", "line 2: duration_s: expected seconds from 0 to 86400, got \"-2\""),
        ("start,duration_s\n1,NaN\n", "line 2: duration_s: expected seconds from 0 to 86400, got \"NaN\""),
        ("start,duration_s\n1\n", "line 2: expected 2 cells, got 1"),
        ("start,duration_s\n\n1,2,3\n", "line 3: expected 2 cells, got 3"),
        (
            "start,duration_s,tenant,booked_s\n1,2,a,soon\n",
            "line 2: booked_s: expected seconds from 0 to 4000000000, got \"soon\"",
        ),
        (
            "start,duration_s\n2026-11-30T09:00:00Z,60\n2026-12-01T09:00:00Z,60\n2206-11-30T09:00:00Z,60\n",
            "line 4: start: 65743 days from the start in line 2; expected 366 at the most",
        ),
        (
            "start,duration_s\n2026-11-30T09:00:00Z,60\n2026-12-01T09:00:00Z,60\n0026-12-01T09:00:00Z,60\n",
            "line 4: start: 730485 days from the start in line 3; expected 366 at the most",
        ),
    ] {
        assert_eq!(Trace::read(text).unwrap_err().to_string(), want);
    }
    let many: String = (0..=10_000).map(|tenant| format!("0,1,t{tenant}\n")).collect();
    let error = Trace::read(&format!("start,duration_s,tenant\n{many}")).unwrap_err().to_string();
    assert_eq!(error, "line 10002: tenant: more than 10000 of them");
}

#[test]
fn a_week_has_its_peak_on_monday_at_nine() {
    let trace = Trace::weekday(20_000, 1);
    assert_eq!(trace, Trace::weekday(20_000, 1), "the same for the same seed");
    assert_ne!(trace, Trace::weekday(20_000, 2));
    let mut starts = std::collections::BTreeMap::<Duration, usize>::new();
    for meeting in &trace.meetings {
        *starts.entry(meeting.start).or_default() += 1;
    }
    let most = starts.iter().max_by_key(|(_, count)| **count).unwrap();
    assert_eq!(*most.0, Duration::from_secs(9 * HOUR));
    let booked = trace.meetings.iter().filter(|meeting| !meeting.booked.is_zero()).count();
    assert!((16_500..17_500).contains(&booked), "{booked}");
    assert!(trace.length() < Duration::from_secs(8 * DAY));
    assert!(trace.meetings.is_sorted_by_key(|meeting| meeting.start));
    let largest = trace.meetings.iter().filter(|meeting| meeting.tenant == 0).count();
    assert!((6_000..7_500).contains(&largest), "a third is one tenant's: {largest}");
}

#[test]
fn a_meeting_that_ends_makes_room_for_one_that_begins() {
    let trace = Trace::read("start,duration_s\n0,60\n60,60\n61,60\n").unwrap();
    assert_eq!(trace.peak(), 2);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(start|duration_s|tenant|booked_s|[a-z0-9.,:\" -]{0,8}|\n|,){0,40}") {
        if let Ok(trace) = Trace::read(&text) {
            prop_assert!(trace.meetings.iter().all(|meeting| (meeting.tenant as usize) < trace.tenants.len()));
        }
    }
}
