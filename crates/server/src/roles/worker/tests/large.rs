//! Records that are as large as the store takes: DynamoDB is the one that has a limit.

use muster_store::{DynamoSettings, DynamoStore, StoreError};
use serde_json::json;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

async fn worker_on_dynamodb() -> Option<Worker> {
    let (aws, table) = muster_aws::testing::emulator()?;
    let settings = DynamoSettings { aws, table };
    DynamoStore::migrate(&settings, false, &mut |_| {}).await.unwrap();
    let store = Arc::new(DynamoStore::open(&settings).await.unwrap());
    let mut worker = worker(Arc::new(Slow::default()), |_| {});
    worker.backend = Backend::new(store, worker.backend.queue.clone(), worker.backend.clock.clone());
    Some(worker)
}

async fn created(worker: &Worker, platform: &str) -> Session {
    let Backend { store, clock, .. } = &worker.backend;
    let session = room::tests::session(platform, false);
    let bot = session.id;
    let commit = Commit::new(session, muster_session::Outcome::default(), clock.now());
    store.create(commit, CreateGuard::default()).await.unwrap();
    store.get(bot).await.unwrap().unwrap()
}

/// The same record with all that it has room for.
async fn filled(worker: &Worker, session: Session) -> Session {
    let Backend { store, clock, .. } = &worker.backend;
    for filler in (0..400 << 10).rev().step_by(16) {
        let mut session = session.clone();
        session.request = json!({"filler": "x".repeat(filler)});
        match store.commit(Commit::new(session, muster_session::Outcome::default(), clock.now())).await {
            Ok(session) => return session,
            Err(StoreError::TooLarge { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nothing fits");
}

#[tokio::test]
async fn a_job_whose_record_cannot_be_written_is_set_aside() {
    let Some(worker) = worker_on_dynamodb().await else { return };
    let session = created(&worker, "sandbox").await;
    let bot = filled(&worker, session).await.id;
    let queue = &worker.backend.queue;
    queue.send(&Job::Run { bot, attempt: 1 }, Duration::ZERO, None).await.unwrap();
    let delivery = queue.receive(Topic::Jobs, 1, MESSAGE_LEASE, WAIT).await.unwrap().remove(0);
    let claimed = tokio::time::timeout(PATIENCE, claim(&worker, &delivery, std::future::pending())).await;
    let Ok(Claimed::Poison(reason)) = claimed else { panic!("it is tried again, or was taken") };
    assert!(reason.contains("too large for the store"), "{reason}");
}

#[tokio::test]
async fn a_bot_whose_record_cannot_be_written_is_not_attended_for_ever() {
    let Some(worker) = worker_on_dynamodb().await else { return };
    // No worker has a pack for it: its end would be written.
    let session = created(&worker, "nowhere").await;
    let input = Input::Acquire { owner: worker.setup.id.clone(), ttl: worker.setup.config.lease, attempt: 1 };
    let session = filled(&worker, worker.backend.apply(session.id, input).await.unwrap()).await;
    let bot = session.id;
    tokio::time::timeout(PATIENCE, attend(&worker, session)).await.expect("it is given up");
    assert_eq!(worker.backend.store.get(bot).await.unwrap().unwrap().state, State::Joining, "its end did not fit");
}
