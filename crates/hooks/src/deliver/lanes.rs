//! A bot's pending deliveries by receiver. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use muster_session::{EndpointId, Timestamp};
use muster_store::{Delivery, DeliveryStatus};
use url::Url;

/// Deliveries that go to one receiver, in order. Lanes are independent of each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// To an endpoint.
    Endpoint(EndpointId),
    /// To an address of the bot's own.
    Address(Url),
}

impl Lane {
    fn of(delivery: &Delivery) -> Self {
        delivery.endpoint.map_or_else(|| Self::Address(delivery.url.clone()), Self::Endpoint)
    }
}

/// What there is to do for a bot.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Look {
    /// What may be sent now, one after another in each lane.
    pub(super) ready: BTreeMap<Lane, VecDeque<Delivery>>,
    /// Deliveries that are due and held back by an earlier one of their lane, each until then.
    pub(super) held: Vec<(u64, Timestamp)>,
    /// When the next of the others is due.
    pub(super) wait: Option<Timestamp>,
}

/// Looks at a bot's pending deliveries, given in order.
///
/// In a lane, one that was never tried holds back the later ones; one that failed does not, so a single event that its
/// receiver cannot stand stops nothing. What is in hand, by id and the failures known of it, is postponed only for others: here
/// it counts as due. So does what waits until one of the times `given` to what was in hand: others held it back behind that.
pub(super) fn look(
    pending: Vec<Delivery>,
    in_hand: &HashMap<u64, u32>,
    given: &BTreeSet<Timestamp>,
    now: Timestamp,
) -> Look {
    let mut look = Look::default();
    let mut untried: BTreeMap<Lane, Timestamp> = BTreeMap::new();
    for delivery in pending {
        let DeliveryStatus::Pending { next_at } = delivery.status else { continue };
        let lane = Lane::of(&delivery);
        let ours = in_hand.get(&delivery.id) == Some(&delivery.failures) || given.contains(&next_at);
        let due = next_at <= now || ours;
        match untried.get(&lane) {
            Some(until) if due => look.held.push((delivery.id, *until)),
            Some(_) => {}
            None if due => look.ready.entry(lane).or_default().push_back(delivery),
            None => {
                look.wait = Some(look.wait.map_or(next_at, |earlier| earlier.min(next_at)));
                if delivery.failures == 0 {
                    untried.insert(lane, next_at);
                }
            }
        }
    }
    look
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use muster_session::event::Event;
    use muster_session::{BotId, TenantId};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn in_seconds(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    /// A delivery whose id is its sequence.
    pub(in super::super) fn sample(sequence: u64, next_at: Timestamp, failures: u32) -> Delivery {
        let event = Event {
            bot: BotId::from_uuid(Uuid::from_u128(7)),
            sequence,
            at: NOW,
            event: "bot.joining".into(),
            bot_event: "bot.joining".into(),
            to: None,
            body: json!({}),
        };
        Delivery {
            id: sequence,
            tenant: TenantId::new("t"),
            url: "https://example.com/".parse().unwrap(),
            endpoint: None,
            made_at: NOW,
            event,
            status: DeliveryStatus::Pending { next_at },
            failures,
            attempts: Vec::new(),
        }
    }

    /// The ids that may go, by lane, what is held, and the wait.
    type Looked = (Vec<Vec<u64>>, Vec<(u64, Timestamp)>, Option<Timestamp>);

    fn looked(pending: &[Delivery], now: Timestamp) -> Looked {
        looked_with(pending, &HashMap::new(), now)
    }

    fn looked_with(pending: &[Delivery], in_hand: &HashMap<u64, u32>, now: Timestamp) -> Looked {
        looked_given(pending, in_hand, &BTreeSet::new(), now)
    }

    fn looked_given(
        pending: &[Delivery],
        in_hand: &HashMap<u64, u32>,
        given: &BTreeSet<Timestamp>,
        now: Timestamp,
    ) -> Looked {
        let look = look(pending.to_vec(), in_hand, given, now);
        let ready = look.ready.values().map(|lane| lane.iter().map(|delivery| delivery.id).collect()).collect();
        (ready, look.held, look.wait)
    }

    #[test]
    fn an_untried_delivery_holds_back_the_later_ones() {
        let pending = [sample(1, in_seconds(9), 0), sample(2, NOW, 0), sample(3, NOW, 2), sample(4, in_seconds(1), 0)];
        let until = in_seconds(9);
        assert_eq!(looked(&pending, NOW), (vec![], vec![(2, until), (3, until)], Some(until)));
        assert_eq!(looked(&pending, until), (vec![vec![1, 2, 3, 4]], vec![], None));
    }

    #[test]
    fn a_failed_delivery_lets_the_later_ones_pass() {
        let pending = [sample(1, in_seconds(9), 1), sample(2, NOW, 0), sample(3, NOW, 0)];
        assert_eq!(looked(&pending, NOW), (vec![vec![2, 3]], vec![], Some(in_seconds(9))));
        let waiting = [sample(1, in_seconds(9), 1), sample(2, in_seconds(5), 1)];
        assert_eq!(looked(&waiting, NOW), (vec![], vec![], Some(in_seconds(5))));
        assert_eq!(looked(&[], NOW), (vec![], vec![], None));
    }

    #[test]
    fn what_is_in_hand_holds_nothing_back_unless_others_had_it() {
        let pending = [sample(1, in_seconds(9), 0), sample(2, in_seconds(9), 1), sample(3, NOW, 0), sample(4, NOW, 0)];
        let in_hand = HashMap::from([(1, 0), (2, 1)]);
        assert_eq!(looked_with(&pending, &in_hand, NOW), (vec![vec![1, 2, 3, 4]], vec![], None));
        // Somebody else tried the second.
        let in_hand = HashMap::from([(1, 0), (2, 0)]);
        assert_eq!(looked_with(&pending, &in_hand, NOW), (vec![vec![1, 3, 4]], vec![], Some(in_seconds(9))));
    }

    #[test]
    fn what_others_held_back_behind_what_was_in_hand_is_due_to_whoever_had_it() {
        let given = BTreeSet::from([in_seconds(9), in_seconds(24)]);
        // The first was postponed again in the meantime.
        let behind = [sample(2, in_seconds(9), 0), sample(3, in_seconds(24), 0), sample(4, NOW, 0)];
        assert_eq!(looked_given(&behind, &HashMap::new(), &given, NOW), (vec![vec![2, 3, 4]], vec![], None));
        // Not so what waits until another time: its own, or one that somebody else gave.
        let until = in_seconds(10);
        let behind = [sample(2, until, 0), sample(3, in_seconds(9), 0)];
        let held = (vec![], vec![(3, until)], Some(until));
        assert_eq!(looked_given(&behind, &HashMap::new(), &given, NOW), held);
    }

    #[test]
    fn receivers_are_independent_of_each_other() {
        let endpoint = |id: u128, delivery: Delivery| Delivery {
            endpoint: Some(EndpointId::from_uuid(Uuid::from_u128(id))),
            ..delivery
        };
        let other = Delivery { url: "https://example.com/other".parse().unwrap(), ..sample(4, NOW, 0) };
        let pending = [
            sample(1, in_seconds(9), 0),
            endpoint(1, sample(2, NOW, 0)),
            sample(3, NOW, 0),
            other,
            endpoint(2, sample(5, in_seconds(4), 0)),
            endpoint(1, sample(6, NOW, 0)),
        ];
        assert_eq!(looked(&pending, NOW), (vec![vec![2, 6], vec![4]], vec![(3, in_seconds(9))], Some(in_seconds(4))));
    }
}
