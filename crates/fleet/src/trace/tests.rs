use super::*;

#[test]
fn reads_seconds_and_times() {
    let trace = Trace::read("start,duration_s,tenant,booked_s\n90,600,b,3600\n30,60\n\n45,1.5,b\n").unwrap();
    let starts: Vec<u64> = trace.meetings.iter().map(|meeting| meeting.start.as_secs()).collect();
    assert_eq!((starts, trace.tenants), (vec![0, 15, 60], vec!["b".to_owned(), "default".to_owned()]));
    assert_eq!(trace.meetings[2].booked, Duration::from_secs(3_600));
    let trace = Trace::read("start,duration_s\n2026-11-30T09:00:00Z,60\n2026-11-30T09:30:00Z,60").unwrap();
    assert_eq!(trace.length(), Duration::from_secs(1_860));
}

#[test]
fn what_is_wrong_is_said_by_line_and_column() {
    for (text, want) in [
        ("", "line 1: the file is empty"),
        ("when,long\n", "line 1: expected the columns start,duration_s,tenant,booked_s, got when,long"),
        ("start,duration_s\n1,2\nx,3\n", "line 3: start: expected seconds, 0 to 4000000000, got \"x\""),
        ("start,duration_s\n1,-2\n", "line 2: duration_s: expected seconds, 0 to 86400, got \"-2\""),
        ("start,duration_s\n1,NaN\n", "line 2: duration_s: expected seconds, 0 to 86400, got \"NaN\""),
        ("start,duration_s\n1\n", "line 2: expected 2 to 2 columns, got 1"),
        (
            "start,duration_s,tenant,booked_s\n1,2,a,soon\n",
            "line 2: booked_s: expected seconds, 0 to 400000000, got \"soon\"",
        ),
    ] {
        assert_eq!(Trace::read(text).unwrap_err().to_string(), want);
    }
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
}

#[test]
fn a_meeting_that_ends_makes_room_for_one_that_begins() {
    let trace = Trace::read("start,duration_s\n0,60\n60,60\n61,60\n").unwrap();
    assert_eq!(trace.peak(), 2);
    assert_eq!(Trace::at_once(500).peak(), 500);
}
