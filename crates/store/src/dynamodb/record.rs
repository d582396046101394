//! Between a [`Session`] and its two items: the record, and the lease, which is small because renewals write it often.

use aws_sdk_dynamodb::types::AttributeValue;
use muster_session::{BotId, Session, State, Timestamp};

use super::item::{
    Item, Key, SESSION, from_json, maybe_number, maybe_text, n, number, of_bot, s, shard, time, time_key, to_json,
};
use super::line;
use super::table::{Select, Table};
use crate::StoreError;

/// Partitions of the pointers to a record by ids elsewhere, so that they go with it.
const REMOTES: &str = "remote_keys";
/// Place of a session that waits in line.
pub(super) const LINE: &str = "line_r";

/// What a record is found by, apart from its key. None where it does not apply, so that an index has only what a lookup can
/// find.
pub(super) struct Indexed {
    pub(super) state: &'static str,
    /// Key of the index by state.
    state_key: String,
    due: Option<String>,
    deadline: Option<String>,
    retirement: Option<String>,
    line: Option<String>,
}

impl Indexed {
    fn of(session: &Session) -> Self {
        let key = |at: Timestamp| time_key(at, session.id);
        Self {
            state: session.state.as_str(),
            state_key: state_key(&shard(session.id), session.state, session.tenant.as_str()),
            due: session.join_at.filter(|_| session.state == State::Scheduled).map(key),
            deadline: session.deadline().map(key),
            retirement: session.state.is_terminal().then(|| key(session.expires_at)),
            line: line::place(session),
        }
    }

    fn times(self) -> [(&'static str, Option<String>); 4] {
        let [due, deadline, retirement] = [self.due, self.deadline, self.retirement];
        [("due_r", due), ("deadline_r", deadline), ("retire_r", retirement), (LINE, self.line)]
    }
}

pub(super) fn tenant_key(shard: &str, tenant: &str) -> String {
    format!("{shard}#{tenant}")
}

pub(super) fn state_key(shard: &str, state: State, tenant: &str) -> String {
    format!("{shard}#{}#{tenant}", state.as_str())
}

/// The item of a new record.
pub(super) fn new_record(session: &Session, idempotency_key: Option<&str>) -> Item {
    let shard = shard(session.id);
    let indexed = Indexed::of(session);
    let mut item = Key::record(session.id).into_item();
    let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
    set("ver", n(session.version));
    set("rec", to_json(session));
    set("list_h", s(tenant_key(&shard, session.tenant.as_str())));
    set("list_r", s(time_key(session.created_at, session.id)));
    set("plat", s(session.meeting.label.to_lowercase()));
    set("st", s(indexed.state));
    set("state_h", s(&indexed.state_key));
    if let Some(key) = idempotency_key {
        set("idem", s(key));
    }
    if let Some(key) = remote_key(session) {
        set(REMOTES, AttributeValue::Ss(vec![key.pk]));
    }
    for (name, value) in indexed.times() {
        if let Some(value) = value {
            set(name, s(value));
        }
    }
    set("part_h", s(shard));
    item
}

/// The change that makes a stored record this one.
pub(super) fn change(session: &Session) -> (String, Vec<(&'static str, AttributeValue)>) {
    let indexed = Indexed::of(session);
    let mut set = "SET ver = :new, rec = :rec, st = :st, state_h = :state".to_owned();
    let mut values = vec![
        (":new", n(session.version)),
        (":rec", to_json(session)),
        (":st", s(indexed.state)),
        (":state", s(&indexed.state_key)),
    ];
    let mut remove = Vec::new();
    for (name, value) in indexed.times() {
        let Some(value) = value else {
            remove.push(name);
            continue;
        };
        let parameter = match name {
            "due_r" => ":due",
            "deadline_r" => ":deadline",
            LINE => ":line",
            _ => ":retire",
        };
        set = format!("{set}, {name} = {parameter}");
        values.push((parameter, s(value)));
    }
    let mut change = set;
    if !remove.is_empty() {
        change = format!("{change} REMOVE {}", remove.join(", "));
    }
    if let Some(key) = remote_key(session) {
        change = format!("{change} ADD {REMOTES} :remote");
        values.push((":remote", AttributeValue::Ss(vec![key.pk])));
    }
    (change, values)
}

/// Where a bot that runs elsewhere is found by what it is called there, if that is known.
pub(super) fn remote_key(session: &Session) -> Option<Key> {
    let remote = session.remote.as_ref()?;
    Some(Key::remote(&remote.source, remote.bot.as_ref()?))
}

/// Every [`remote_key`] that a stored record ever had.
pub(super) fn remote_keys(stored: &Item) -> Vec<Key> {
    let keys = stored.get(REMOTES).and_then(|keys| keys.as_ss().ok());
    keys.into_iter().flatten().map(|pk| Key { pk: pk.clone(), sk: "at".into() }).collect()
}

/// The items of one session together.
pub(super) fn of_items(items: &[Item]) -> Result<Option<Session>, StoreError> {
    let Some(record) = items.iter().find(|item| item.contains_key("rec")) else { return Ok(None) };
    let mut session: Session = from_json("a session", record, "rec")?;
    session.version = number(record, "ver")?;
    // Renewals move only the lease's item. One of another acquisition is from a moment before or after this record.
    if let (Some(lease), Some(stored)) = (&mut session.lease, items.iter().find(|item| item.contains_key("till")))
        && maybe_text(stored, "holder") == Some(lease.owner.as_str())
        && maybe_number(stored, "fence") == Some(session.fencing)
    {
        lease.until = time(stored, "till")?;
    }
    Ok(Some(session))
}

pub(super) async fn read(table: &Table, bot: BotId) -> Result<Option<Session>, StoreError> {
    of_items(&table.select(&items_of(bot, SESSION), usize::MAX).await?)
}

/// Those that are there, in the order asked, as they are now.
pub(super) async fn read_many(table: &Table, bots: &[BotId]) -> Result<Vec<Session>, StoreError> {
    let keys = bots.iter().flat_map(|bot| [Key::record(*bot), Key::lease(*bot)]).collect();
    let mut items = std::collections::HashMap::<String, Vec<Item>>::new();
    for item in table.get_many(keys).await? {
        items.entry(super::item::text(&item, "pk")?.to_owned()).or_default().push(item);
    }
    let found = bots.iter().filter_map(|bot| of_items(items.get(&of_bot(*bot))?).transpose());
    found.collect()
}

/// A bot's items whose sort key begins so.
pub(super) fn items_of(bot: BotId, prefix: &str) -> Select {
    Select {
        condition: "pk = :pk AND begins_with(sk, :prefix)".into(),
        values: [(":pk".to_owned(), s(of_bot(bot))), (":prefix".to_owned(), s(prefix))].into(),
        ..Select::default()
    }
}

/// If there is a record. Cheaper to carry than the record.
pub(super) async fn exists(table: &Table, bot: BotId) -> Result<bool, StoreError> {
    let get = table.client.get_item().table_name(&table.name).set_key(Some(Key::record(bot).into_item()));
    let answer = get.consistent_read(true).projection_expression("ver").send().await;
    Ok(answer.map_err(|error| super::table::failed("looking for a record", &error))?.item.is_some())
}
