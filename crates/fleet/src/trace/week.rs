//! An ordinary working week.

use std::time::Duration;

use super::Meeting;

/// So many meetings, and who has them.
pub(super) fn meetings(count: usize, seed: u64) -> (Vec<Meeting>, Vec<String>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let tenants = (1..=TENANTS).map(|number| format!("tenant-{number}")).collect();
    ((0..count).map(|_| meeting(&mut random)).collect(), tenants)
}

const TENANTS: usize = 10;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const DAYS: [u32; 7] = [23, 21, 20, 20, 14, 1, 1];
/// From 7:00 on.
const HOURS: [u32; 13] = [2, 6, 14, 15, 13, 5, 10, 13, 12, 10, 5, 2, 1];
const FIRST_HOUR: u64 = 7;
/// In minutes, with their weights.
const PLANNED: [(u64, u32); 7] = [(15, 10), (25, 8), (30, 32), (45, 14), (50, 8), (60, 23), (90, 5)];

fn meeting(random: &mut fastrand::Rng) -> Meeting {
    let day = pick(random, DAYS.iter().copied());
    let hour = FIRST_HOUR + pick(random, HOURS.iter().copied()) as u64;
    let monday_nine = day == 0 && hour == 9;
    let minute = match random.u32(0..100) {
        0..45 => 0,
        45..75 if !monday_nine => 30,
        45..75 => 30 * random.u64(0..2) * random.u64(0..2),
        75..85 => 15 + 30 * random.u64(0..2),
        _ => random.u64(0..60),
    };
    let planned = PLANNED[pick(random, PLANNED.iter().map(|(_, weight)| *weight))].0 * MINUTE;
    let seconds = match random.u32(0..100) {
        0..3 => random.u64(90 * MINUTE..180 * MINUTE),
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "minutes"
        )]
        _ => (planned as f64 * (0.7 + 0.4 * random.f64())) as u64,
    };
    let booked = match random.u32(0..100) {
        0..85 => random.u64(HOUR..7 * DAY),
        _ => 0,
    };
    // The first has a third, the next a sixth of what it has, and so on.
    let tenant = pick(random, (1..=TENANTS as u32).map(|rank| 1_000 / rank));
    Meeting {
        start: Duration::from_secs(day as u64 * DAY + hour * HOUR + minute * MINUTE),
        duration: Duration::from_secs(seconds),
        tenant: u32::try_from(tenant).unwrap_or_default(),
        booked: Duration::from_secs(booked),
    }
}

/// An index by weight.
fn pick(random: &mut fastrand::Rng, weights: impl Iterator<Item = u32> + Clone) -> usize {
    let mut left = random.u32(0..weights.clone().sum());
    for (place, weight) in weights.enumerate() {
        if left < weight {
            return place;
        }
        left -= weight;
    }
    0
}
