use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const LIMITS: Limits = Limits { quick: 4, slow: 2, host: 3, waiting: 8 };

fn tenant(name: &str) -> TenantId {
    TenantId::new(name)
}

fn host(name: &str) -> Host {
    Host::of(&format!("https://{name}.example/").parse().unwrap())
}

/// Slots, and what those who asked were told last.
struct Desk {
    slots: Slots,
    told: HashMap<Ticket, Told>,
}

impl Desk {
    fn new(limits: Limits) -> Self {
        Self { slots: Slots::new(limits), told: HashMap::new() }
    }

    fn ask(&mut self, of: &str, to: &str) -> Ticket {
        let ticket = self.slots.ask(&tenant(of), &host(to), false, NOW);
        self.hear();
        ticket
    }

    fn end(&mut self, ticket: Ticket, verdict: Verdict) {
        self.slots.end(ticket, verdict, NOW);
        self.hear();
    }

    fn lasts(&mut self, ticket: Ticket) {
        self.slots.lasts(ticket);
        self.hear();
    }

    fn hear(&mut self) {
        self.told.extend(self.slots.told());
    }

    fn goes(&self, ticket: Ticket) -> Option<&'static str> {
        match self.told.get(&ticket)? {
            Told::Go { slow: false } => Some("quick"),
            Told::Go { slow: true } => Some("slow"),
            Told::Later(_) => Some("later"),
            Told::Cut => Some("cut"),
        }
    }

    fn all(&self, tickets: &[Ticket]) -> Vec<Option<&'static str>> {
        tickets.iter().map(|ticket| self.goes(*ticket)).collect()
    }
}

#[test]
fn a_host_gets_its_share_in_order_and_leaves_no_trace() {
    let mut desk = Desk::new(LIMITS);
    let asked: Vec<Ticket> = (0..5).map(|_| desk.ask("t", "a")).collect();
    let go = Some("quick");
    assert_eq!(desk.all(&asked), [go, go, go, None, None]);
    let other = desk.ask("t", "b");
    assert_eq!(desk.goes(other), go);
    desk.end(asked[1], Verdict::Up);
    assert_eq!(desk.all(&asked[3..]), [go, None]);
    // One who waits no more is passed over.
    let last = desk.ask("t", "a");
    desk.end(asked[4], Verdict::Unknown);
    desk.end(asked[0], Verdict::Up);
    assert_eq!(desk.goes(last), go);
    for ticket in [asked[2], asked[3], other, last] {
        desk.end(ticket, Verdict::Up);
    }
    let slots = &desk.slots;
    assert!(slots.asked.is_empty() && slots.hosts.is_empty() && slots.tenants.is_empty(), "{slots:?}");
    assert_eq!((slots.quick, slots.waiting, slots.lines.iter().all(Line::is_empty)), (0, 0, true));
}

#[test]
fn the_next_slot_goes_to_the_tenant_with_the_fewest_calls() {
    let mut desk = Desk::new(LIMITS);
    let crowd: Vec<Ticket> = ["a", "b", "a", "b", "a", "b"].map(|to| desk.ask("crowd", to)).into();
    let small: Vec<Ticket> = ["c", "c", "c"].map(|to| desk.ask("small", to)).into();
    let go = Some("quick");
    assert_eq!(desk.all(&crowd), [go, go, go, go, None, None]);
    // Two of four each, though the crowd asked first; then the one who waits longest.
    desk.end(crowd[0], Verdict::Up);
    assert_eq!(desk.all(&small), [go, None, None]);
    desk.end(crowd[1], Verdict::Up);
    assert_eq!(desk.all(&small), [go, go, None]);
    desk.end(small[0], Verdict::Up);
    assert_eq!((desk.goes(small[2]), desk.goes(crowd[4])), (go, None));
    desk.end(crowd[2], Verdict::Up);
    assert_eq!(desk.goes(crowd[4]), go);
}

#[test]
fn calls_that_last_hold_no_slot_and_the_oldest_is_given_up() {
    let mut desk = Desk::new(LIMITS);
    let hanging: Vec<Ticket> = ["a", "b", "c", "d"].map(|to| desk.ask("t", to)).into();
    let live = desk.ask("t", "live");
    assert_eq!(desk.goes(live), None);
    desk.lasts(hanging[0]);
    assert_eq!(desk.goes(live), Some("quick"));
    desk.lasts(hanging[1]);
    desk.lasts(hanging[2]);
    let go = Some("quick");
    assert_eq!(desk.all(&hanging), [Some("cut"), go, go, go]);
    // Known to be slow: takes no slot.
    let again = desk.ask("t", "b");
    assert_eq!((desk.goes(again), desk.slots.quick), (None, 2));
    desk.end(hanging[1], Verdict::Down);
    assert_eq!((desk.goes(again), desk.slots.quick), (Some("slow"), 2));
    // Quick again.
    desk.end(again, Verdict::Up);
    let quick = desk.ask("t", "b");
    assert_eq!(desk.goes(quick), go);
    desk.end(hanging[0], Verdict::Down);
    assert_eq!((desk.slots.quick, desk.slots.slow.len()), (3, 1));
}

#[test]
fn the_call_that_began_first_is_given_up_however_long_others_waited() {
    let mut desk = Desk::new(Limits { quick: 3, ..LIMITS });
    let first = desk.ask("t", "a");
    desk.lasts(first);
    let second = desk.ask("t", "b");
    desk.lasts(second);
    // Known to be slow, and both places are taken.
    let waiting = desk.ask("t", "a");
    let quick: Vec<Ticket> = ["c", "d"].map(|to| desk.ask("t", to)).into();
    desk.end(first, Verdict::Down);
    assert_eq!(desk.goes(waiting), Some("slow"));
    desk.lasts(quick[0]);
    assert_eq!(desk.all(&[second, waiting]), [Some("cut"), Some("slow")]);
    desk.lasts(quick[1]);
    assert_eq!(desk.goes(waiting), Some("slow"), "it began after the one that is given up");
    assert_eq!(desk.goes(quick[0]), Some("cut"));
}

#[test]
fn whoever_waits_for_a_host_whose_circuit_opens_comes_back_later() {
    let mut desk = Desk::new(LIMITS);
    let mut asked: Vec<Ticket> = (0..7).map(|_| desk.ask("t", "a")).collect();
    let overdue = desk.slots.ask(&tenant("t"), &host("a"), true, NOW);
    for ticket in asked.drain(..5) {
        desk.end(ticket, Verdict::Down);
    }
    let later = |ms| Some(Told::Later(NOW + Duration::from_millis(ms)));
    // Two were let go before it opened.
    assert_eq!(desk.all(&asked), [Some("quick"); 2]);
    assert_eq!(desk.goes(overdue), Some("quick"), "the circuit is not asked");
    let ticket = desk.ask("t", "a");
    assert_eq!(desk.told.get(&ticket).copied(), later(5_000));
    let after = NOW + Duration::from_secs(5);
    let probe = desk.slots.ask(&tenant("t"), &host("a"), false, after);
    let second = desk.slots.ask(&tenant("t"), &host("a"), false, after);
    desk.hear();
    assert_eq!(desk.goes(second), Some("later"));
    assert_eq!(desk.goes(probe), None, "it waits for a slot like any other");
    // Given up while it waits: the place of the probe is free.
    desk.end(probe, Verdict::Unknown);
    let third = desk.slots.ask(&tenant("t"), &host("a"), false, after);
    desk.end(asked[0], Verdict::Unknown);
    assert_eq!(desk.goes(third), Some("quick"));
    desk.end(third, Verdict::Up);
    let free: Vec<Ticket> = (0..2).map(|_| desk.ask("t", "a")).collect();
    assert_eq!(desk.all(&free), [Some("quick"), None]);
}

#[test]
fn a_circuit_is_open_for_its_tenant_alone() {
    let mut desk = Desk::new(Limits { host: 1, ..LIMITS });
    for _ in 0..4 {
        let ticket = desk.ask("wrong", "a");
        desk.end(ticket, Verdict::Down);
    }
    let (last, waiting, other) = (desk.ask("wrong", "a"), desk.ask("wrong", "a"), desk.ask("right", "a"));
    desk.end(last, Verdict::Down);
    assert_eq!((desk.goes(waiting), desk.goes(other)), (Some("later"), Some("quick")));
    // Its success closes nothing of the other.
    desk.end(other, Verdict::Up);
    let (wrong, right) = (desk.ask("wrong", "a"), desk.ask("right", "a"));
    assert_eq!((desk.goes(wrong), desk.goes(right)), (Some("later"), Some("quick")));
}

#[test]
fn waiting_ones_are_sent_away_when_the_circuit_opens() {
    let mut desk = Desk::new(Limits { host: 5, quick: 5, ..LIMITS });
    let calls: Vec<Ticket> = (0..5).map(|_| desk.ask("t", "a")).collect();
    let waiting: Vec<Ticket> = (0..3).map(|_| desk.ask("t", "a")).collect();
    for ticket in calls {
        desk.slots.end(ticket, Verdict::Down, NOW);
    }
    desk.hear();
    // Four slots came free before the fifth failure; none of those who got them is called back.
    assert_eq!(desk.all(&waiting), [Some("quick"); 3]);
    let mut desk = Desk::new(Limits { host: 1, ..LIMITS });
    for _ in 0..4 {
        let ticket = desk.ask("t", "a");
        desk.end(ticket, Verdict::Down);
    }
    let last = desk.ask("t", "a");
    let waiting: Vec<Ticket> = (0..2).map(|_| desk.ask("t", "a")).collect();
    desk.end(last, Verdict::Down);
    assert_eq!(desk.all(&waiting), [Some("later"); 2]);
    assert_eq!(desk.slots.waiting, 0);
}

#[test]
fn when_too_many_wait_the_largest_crowd_has_its_last_come_back() {
    let mut desk = Desk::new(LIMITS);
    let crowd: Vec<Ticket> = (0..11).map(|_| desk.ask("crowd", "a")).collect();
    assert_eq!(desk.slots.waiting, 8);
    let small = desk.ask("small", "a");
    assert_eq!((desk.goes(small), desk.goes(crowd[10])), (None, Some("later")));
    let more = desk.ask("crowd", "a");
    assert_eq!(desk.goes(more), Some("later"));
    assert_eq!(desk.slots.waiting, 8);
    desk.end(crowd[0], Verdict::Up);
    assert_eq!(desk.goes(small), Some("quick"));
}

#[test]
fn hosts_are_forgotten() {
    let mut slots = Slots::new(Limits::new(64));
    let dead = |slots: &mut Slots, n: usize, now: Timestamp| {
        let ticket = slots.ask(&tenant("t"), &host(&format!("h{n}")), false, now);
        slots.end(ticket, Verdict::Down, now);
        slots.told();
    };
    // One failure each is remembered, but not for ever.
    (0..FEW_HOSTS).for_each(|n| dead(&mut slots, n, NOW));
    assert_eq!(slots.hosts.len(), FEW_HOSTS);
    dead(&mut slots, FEW_HOSTS, NOW + FORGET);
    assert_eq!(slots.hosts.len(), 1);
    (0..MANY_HOSTS * 2).for_each(|n| dead(&mut slots, n, NOW + FORGET));
    assert!(slots.hosts.len() <= MANY_HOSTS + FEW_HOSTS, "{}", slots.hosts.len());
}
