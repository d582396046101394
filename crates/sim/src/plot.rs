//! What is going to happen, decided by the seed before it begins.

use std::time::Duration;

use fastrand::Rng;
use muster_faults::Rates;
use muster_session::EndReason;

/// One course of events.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Most bots at a time of each customer, as far as there is a limit.
    pub limits: [Option<u64>; CUSTOMERS],
    /// The meetings, and with them the bots: one for each.
    pub meetings: Vec<Meeting>,
    /// What goes wrong, and when, in order.
    pub happenings: Vec<(Duration, Happening)>,
    /// How often calls to the backends fail until [`CALM`].
    pub rates: Rates,
    /// Calls of 100,000 at which a process dies, until [`CALM`].
    pub crash_per_100_000: u32,
    /// Failed attempts of a thousand at webhooks.
    pub sick_receivers: u32,
}

/// How many customers there are.
pub const CUSTOMERS: usize = 3;

/// From here on nothing goes wrong any more, so that everything can come to its end.
pub const CALM: Duration = Duration::from_secs(180);

/// A meeting and the bot that is sent to it.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// Whose bot it is.
    pub customer: usize,
    /// When the customer asks for the bot.
    pub created: Duration,
    /// Scheduled for this long after that.
    pub join_in: Option<Duration>,
    /// The customer asks the bot to leave, this long after the create.
    pub stop_after: Option<Duration>,
    /// Time in the lobby.
    pub lobby: Option<Duration>,
    /// The bot is not let in.
    pub refused: Option<EndReason>,
    /// When the meeting ends, from the start of everything.
    pub ends: Duration,
    /// How it ends for the bot.
    pub end: EndReason,
    /// Does not leave when asked to, and has to be killed.
    pub stubborn: bool,
    /// Launches that fail, of a hundred.
    pub launch_failures: u32,
    /// Bots that crash in their call, of a hundred.
    pub crashes: u32,
}

/// Something that goes wrong, or is done to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A process is killed; it is started again after a pause.
    Kill {
        /// Which.
        node: usize,
        /// Until it is there again.
        back_in: Duration,
    },
    /// A process stands still for a time: its calls to the backends wait, its bots go on.
    Freeze {
        /// Which.
        node: usize,
        /// How long.
        time: Duration,
    },
    /// A process cannot reach the backends for a time.
    CutOff {
        /// Which.
        node: usize,
        /// How long.
        time: Duration,
    },
    /// Nobody can reach the backends for a time.
    Outage {
        /// How long.
        time: Duration,
    },
    /// A process is asked to end, with some patience; a new one takes its place.
    Drain {
        /// Which.
        node: usize,
    },
}

impl Plot {
    /// The course of events of a seed.
    #[must_use]
    pub fn new(rng: &mut Rng, nodes: usize) -> Self {
        let limits = std::array::from_fn(|_| some(rng, 60, |rng| rng.u64(1..4)));
        let meetings = (0..rng.usize(6..16)).map(|_| meeting(rng)).collect();
        let mut happenings: Vec<_> = (0..rng.usize(0..9)).map(|_| happening(rng, nodes)).collect();
        happenings.sort_by_key(|(at, _)| *at);
        let rough = rng.u32(0..30);
        let rates = Rates {
            delay: rng.u32(0..100),
            duplicate: rough / 2,
            lost_answer: rough,
            throttle: rough,
            refuse: rough,
            longest_delay: Duration::from_millis(rng.u64(1..3_000)),
        };
        let crash_per_100_000 = rng.u32(0..60);
        Self { limits, meetings, happenings, rates, crash_per_100_000, sick_receivers: rng.u32(0..300) }
    }
}

/// True in `percent` of a hundred.
fn odds(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(0..100) < percent
}

fn some<T>(rng: &mut Rng, percent: u32, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    odds(rng, percent).then(|| make(rng))
}

fn seconds(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range.start * 1_000..range.end * 1_000))
}

fn meeting(rng: &mut Rng) -> Meeting {
    // Most at once, as on a Monday morning.
    let created = match odds(rng, 60) {
        true => seconds(rng, 0..3),
        false => seconds(rng, 0..90),
    };
    let refusals = [EndReason::JoinDenied, EndReason::MeetingNotFound, EndReason::MeetingNotStarted];
    let ends = [EndReason::HostEnded, EndReason::HostEnded, EndReason::Kicked, EndReason::ConnectionLost];
    Meeting {
        customer: rng.usize(0..CUSTOMERS),
        created,
        join_in: some(rng, 20, |rng| seconds(rng, 1..40)),
        stop_after: some(rng, 20, |rng| seconds(rng, 0..80)),
        lobby: some(rng, 30, |rng| seconds(rng, 0..20)),
        refused: some(rng, 10, |rng| refusals[rng.usize(0..refusals.len())]),
        ends: created + seconds(rng, 15..150),
        end: ends[rng.usize(0..ends.len())],
        stubborn: odds(rng, 10),
        launch_failures: if odds(rng, 20) { 40 } else { 2 },
        crashes: if odds(rng, 20) { 50 } else { 3 },
    }
}

fn happening(rng: &mut Rng, nodes: usize) -> (Duration, Happening) {
    let (at, node) = (seconds(rng, 0..150), rng.usize(0..nodes));
    let what = match rng.u32(0..12) {
        0..=3 => Happening::Kill { node, back_in: seconds(rng, 0..20) },
        4..=5 => Happening::Freeze { node, time: seconds(rng, 1..40) },
        6..=7 => Happening::CutOff { node, time: seconds(rng, 1..40) },
        8 => Happening::Outage { time: seconds(rng, 1..30) },
        _ => Happening::Drain { node },
    };
    (at, what)
}
