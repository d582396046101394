//! What is done to a store, at random.

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Create(New),
    Move(Move),
    Renew { which: usize, fencing_off: u64, owner: usize, seconds: u64 },
    Attempt { which: usize, end: usize },
    Resend(Vec<usize>),
    Postpone { which: Vec<usize>, seconds: u64 },
    Notify { tenant: usize, subject: u8 },
    PutEndpoint { which: usize, stale: bool, disabled: bool, some: bool },
    DeleteEndpoint(usize),
    Receive { tenant: usize, key: u8, outcome: usize },
    Forget { seconds: u64, limit: u32 },
    Document { which: u8, stale: bool },
    Log { which: usize, fencing_off: u64, key: u8 },
    OutboxDone(usize),
    Delete(usize),
    Advance(u64),
    Reopen,
}

#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) tenant: usize,
    pub(super) idempotency_key: Option<u8>,
    pub(super) deduplication_key: Option<u8>,
    pub(super) meeting: u8,
    pub(super) platform: usize,
    pub(super) remote: Option<u8>,
    pub(super) in_seconds: Option<u64>,
    pub(super) callback: bool,
    /// It waits in line if it can.
    pub(super) held: bool,
    pub(super) limit: Option<u64>,
    pub(super) number: f64,
}

/// Moves one of the sessions on, where the machine allows it; `stale` with a version that it had before.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) which: usize,
    pub(super) how: usize,
    pub(super) stale: bool,
    /// The webhook that caused it.
    pub(super) key: Option<u8>,
    pub(super) limit: Option<u64>,
}

pub(super) const TENANTS: [&str; 2] = ["a", "b"];
pub(super) const OWNERS: [&str; 2] = ["w1", "w2"];
pub(super) const PLATFORMS: [&str; 2] = ["Zoom", "GMeet"];
/// Bots elsewhere that there may be, and endpoints.
pub(super) const REMOTES: u8 = 3;
pub(super) const ENDPOINTS: usize = 4;

const WHICH: std::ops::Range<usize> = 0..6;

/// Places that a tenant may have.
fn limit() -> impl Strategy<Value = Option<u64>> {
    proptest::option::weighted(0.5, 0..4u64)
}

fn create() -> impl Strategy<Value = Op> {
    let key = || proptest::option::of(0..3u8);
    let remote = proptest::option::weighted(0.3, 0..REMOTES);
    let of_the_meeting = (0..2u8, 0..2usize, remote, proptest::option::of(1..400u64));
    let of_the_place = (prop::bool::weighted(0.3), limit());
    let own = (any::<bool>(), proptest::num::f64::NORMAL);
    (0..2usize, key(), key(), of_the_meeting, own, of_the_place).prop_map(
        |(tenant, idempotency_key, deduplication_key, of_the_meeting, (callback, number), (held, limit))| {
            let (meeting, platform, remote, in_seconds) = of_the_meeting;
            Op::Create(New {
                tenant,
                idempotency_key,
                deduplication_key,
                meeting,
                platform,
                remote,
                in_seconds,
                callback,
                held,
                limit,
                number,
            })
        },
    )
}

fn move_on() -> impl Strategy<Value = Op> {
    let key = proptest::option::weighted(0.3, 0..20u8);
    (WHICH, any::<usize>(), prop::bool::weighted(0.1), key, limit())
        .prop_map(|(which, how, stale, key, limit)| Op::Move(Move { which, how, stale, key, limit }))
}

/// Webhooks, both ways.
fn webhooks() -> impl Strategy<Value = Op> {
    let some = || proptest::collection::vec(0..8usize, 0..4);
    let (endpoint, key) = (0..ENDPOINTS, 0..20u8);
    let put = (endpoint.clone(), prop::bool::weighted(0.1), prop::bool::weighted(0.2), any::<bool>());
    prop_oneof![
        6 => (0..8usize, 0..4usize).prop_map(|(which, end)| Op::Attempt { which, end }),
        2 => some().prop_map(Op::Resend),
        2 => (some(), 0..900u64).prop_map(|(which, seconds)| Op::Postpone { which, seconds }),
        1 => (0..2usize, 0..2u8).prop_map(|(tenant, subject)| Op::Notify { tenant, subject }),
        4 => put.prop_map(|(which, stale, disabled, some)| Op::PutEndpoint { which, stale, disabled, some }),
        1 => endpoint.prop_map(Op::DeleteEndpoint),
        3 => (0..2usize, key, 0..4usize).prop_map(|(tenant, key, outcome)| Op::Receive { tenant, key, outcome }),
        1 => (0..90u64, 0..4u32).prop_map(|(seconds, limit)| Op::Forget { seconds, limit }),
    ]
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => create(),
        12 => move_on(),
        6 => (WHICH, prop_oneof![4 => Just(0u64), 1 => Just(1u64)], 0..8usize, 0..90u64).prop_map(
            |(which, fencing_off, owner, seconds)| Op::Renew { which, fencing_off, owner, seconds }
        ),
        8 => webhooks(),
        3 => (WHICH, prop_oneof![4 => Just(0u64), 1 => Just(1u64)], 0..4u8)
            .prop_map(|(which, fencing_off, key)| Op::Log { which, fencing_off, key }),
        1 => (0..4usize).prop_map(Op::OutboxDone),
        1 => (0..2u8, prop::bool::weighted(0.2)).prop_map(|(which, stale)| Op::Document { which, stale }),
        1 => (0..12usize).prop_map(Op::Delete),
        3 => prop_oneof![3 => 1..60u64, 1 => 1..5_000u64].prop_map(Op::Advance),
        1 => Just(Op::Reopen),
    ]
}
