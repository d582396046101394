use axum::http::{Method, StatusCode};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::ecs::Ecs;
use super::fake::{Asked, Fake};
use super::kubernetes::Kubernetes;
use super::*;

fn ok(_: &Asked) -> (StatusCode, String) {
    (StatusCode::OK, "{}".to_owned())
}

fn body(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).unwrap()
}

fn start(protection: impl Protection, shutdown: &Shutdown) -> (Protections, watch::Sender<u32>) {
    let (bots, seen) = watch::channel(0);
    (Protections::start(vec![Arc::new(protection)], &seen, shutdown), bots)
}

#[tokio::test]
async fn the_ecs_agent_protects_a_task_with_bots_before_the_first_starts() {
    let agent = Fake::start(ok).await;
    let ecs = Ecs::new(&format!("{}api/task-id", agent.url)).unwrap();
    let (protections, bots) = start(ecs, &Shutdown::default());
    agent.asked(1).await;
    bots.send_replace(1);
    protections.shielded().await;
    bots.send_replace(0);
    let asked = agent.asked(3).await;
    assert_eq!((&asked[0].method, asked[0].path.as_str()), (&Method::PUT, "/api/task-id/task-protection/v1/state"));
    let free = json!({"ProtectionEnabled": false});
    // What an earlier run left is cleared; one that protects holds for a while.
    let all = [free.clone(), json!({"ProtectionEnabled": true, "ExpiresInMinutes": 60}), free];
    assert_eq!(asked.iter().map(body).collect::<Vec<_>>(), all);
}

/// Is slow to hear that there is no bot.
#[derive(Debug)]
struct Slow {
    asked: tokio::sync::Semaphore,
    may_answer: tokio::sync::Semaphore,
}

#[async_trait]
impl Protection for Arc<Slow> {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn tell(&self, bots: u32) -> anyhow::Result<()> {
        if bots == 0 {
            self.asked.add_permits(1);
            self.may_answer.acquire().await?.forget();
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_bot_that_comes_while_the_end_of_the_last_is_told_waits_for_its_own_protection() {
    let [asked, may_answer] = [0, 1].map(tokio::sync::Semaphore::new);
    let slow = Arc::new(Slow { asked, may_answer });
    let (protections, bots) = start(Arc::clone(&slow), &Shutdown::default());
    slow.asked.acquire().await.unwrap().forget();
    bots.send_replace(1);
    let mut told = protections.told[0].clone();
    told.wait_for(|told| *told == Some(1)).await.unwrap();
    bots.send_replace(0);
    slow.asked.acquire().await.unwrap().forget();
    bots.send_replace(1);
    assert_eq!(*told.borrow(), None, "it may not be protected any more");
    slow.may_answer.add_permits(1);
    told.wait_for(|told| *told == Some(1)).await.unwrap();
}

#[cfg(feature = "aws")]
#[test]
fn a_pod_or_a_task_is_no_instance() {
    let only = |set: &'static str| move |name: &str| (name == set).then(|| "10.0.0.1".to_owned());
    assert!(is_contained(only("KUBERNETES_SERVICE_HOST")) && is_contained(only("ECS_AGENT_URI")));
    assert!(!is_contained(only("AWS_REGION")));
}

#[tokio::test]
async fn a_refusal_keeps_no_bot_from_its_call_and_is_tried_again() {
    let refusal = r#"{"failure": {"Arn": "a", "Reason": "DEPLOYMENT_BLOCKED", "Detail": null}}"#;
    let agent = Fake::start(move |_| (StatusCode::OK, refusal.to_owned())).await;
    let ecs = Ecs::new(agent.url.as_str()).unwrap();
    let error = ecs.tell(1).await.unwrap_err().to_string();
    assert!(error.contains("DEPLOYMENT_BLOCKED"), "{error}");
    let (protections, bots) = start(ecs, &Shutdown::default());
    bots.send_replace(1);
    let began = Instant::now();
    protections.shielded().await;
    assert!(began.elapsed() < PATIENCE * 3);
    agent.answers(ok);
    protections.shielded().await;
    assert!(agent.asked(3).await.len() >= 3);
}

#[tokio::test]
async fn a_pod_costs_as_much_as_it_has_bots() {
    let server = Fake::start(ok).await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let pod = Kubernetes::new(&server.url, ["calls", "worker-0"], token.clone(), None).unwrap();
    pod.tell(3).await.unwrap();
    std::fs::write(&token, "second\n").unwrap();
    pod.tell(0).await.unwrap();
    let asked = server.asked(2).await;
    let cost = |cost: Value| json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}});
    assert_eq!((body(&asked[0]), body(&asked[1])), (cost(json!("3")), cost(Value::Null)));
    assert_eq!((&asked[0].method, asked[0].path.as_str()), (&Method::PATCH, "/api/v1/namespaces/calls/pods/worker-0"));
    assert_eq!(asked[0].headers["content-type"], "application/merge-patch+json");
    let tokens = [&asked[0], &asked[1]].map(|asked| asked.headers["authorization"].to_str().unwrap().to_owned());
    assert_eq!(tokens, ["Bearer first", "Bearer second"]);
    server.answers(|_| (StatusCode::FORBIDDEN, "{}".to_owned()));
    assert!(pod.tell(1).await.unwrap_err().to_string().contains("`patch` on `pods` is needed"));
}

/// Wants its machine back at once.
#[derive(Debug, Default)]
struct Recalling(Arc<watch::Sender<Vec<String>>>);

impl Recalling {
    fn note(&self, what: impl Into<String>) -> anyhow::Result<()> {
        self.0.send_modify(|noted| noted.push(what.into()));
        Ok(())
    }
}

#[async_trait]
impl Protection for Recalling {
    fn name(&self) -> &'static str {
        "recalling"
    }

    async fn tell(&self, bots: u32) -> anyhow::Result<()> {
        self.note(format!("{bots} bots"))
    }

    async fn recalled(&self) {}

    async fn more_time(&self) -> anyhow::Result<()> {
        self.note("more time")
    }

    async fn let_go(&self) -> anyhow::Result<()> {
        self.note("let go")
    }

    fn replaces(&self) -> bool {
        true
    }

    async fn give_back(&self) -> anyhow::Result<()> {
        self.note("give back")
    }
}

#[tokio::test]
async fn a_machine_that_is_wanted_back_drains_and_is_let_go_after_the_last_call() {
    let recalling = Recalling::default();
    let mut noted = recalling.0.subscribe();
    let shutdown = Shutdown::default();
    let (bots, seen) = watch::channel(2);
    let protections = Protections::start(vec![Arc::new(recalling)], &seen, &shutdown);
    shutdown.drained().await;
    assert!(shutdown.terminated().now_or_never().is_none(), "its calls have all the time of a drain");
    protections.shielded().await;
    noted.wait_for(|noted| noted.iter().any(|what| what == "more time")).await.unwrap();
    bots.send_replace(0);
    protections.end().await;
    let noted = noted.borrow().clone();
    assert!(noted.contains(&"2 bots".to_owned()), "{noted:?}");
    assert_eq!(noted[noted.len() - 2..], ["0 bots", "let go"], "{noted:?}");
    assert!(!noted.contains(&"give back".to_owned()), "it was taken");
}
