use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use muster_aws::testing::Script;

use super::super::fake::Fake;
use super::*;

const INSTANCE: &str = "i-0123456789abcdef0";

/// What the instance says of itself, version 2 only.
async fn metadata(is_going: impl Fn() -> bool + Send + Sync + 'static) -> Fake {
    Fake::start(move |asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("PUT", "/latest/api/token") => (StatusCode::OK, "token".to_owned()),
        _ if asked.headers.get("x-aws-ec2-metadata-token").is_none_or(|token| token != "token") => {
            (StatusCode::UNAUTHORIZED, String::new())
        }
        (_, "/latest/meta-data/instance-id") => (StatusCode::OK, INSTANCE.to_owned()),
        (_, "/latest/meta-data/autoscaling/target-lifecycle-state") => {
            let state = if is_going() { GOING } else { "InService" };
            (StatusCode::OK, state.to_owned())
        }
        _ => (StatusCode::NOT_FOUND, String::new()),
    })
    .await
}

fn members(group: &str) -> String {
    let member = match group {
        "" => String::new(),
        group => format!(
            "<member><InstanceId>{INSTANCE}</InstanceId><AutoScalingGroupName>{group}</AutoScalingGroupName></member>"
        ),
    };
    format!(
        "<DescribeAutoScalingInstancesResponse><DescribeAutoScalingInstancesResult><AutoScalingInstances>{member}</AutoScalingInstances></DescribeAutoScalingInstancesResult></DescribeAutoScalingInstancesResponse>"
    )
}

fn hooks() -> String {
    let hook = |name: &str, transition: &str| {
        format!(
            "<member><LifecycleHookName>{name}</LifecycleHookName><LifecycleTransition>{transition}</LifecycleTransition></member>"
        )
    };
    let both = [hook("drain", TERMINATING), hook("warm-up", "autoscaling:EC2_INSTANCE_LAUNCHING")].concat();
    format!(
        "<DescribeLifecycleHooksResponse><DescribeLifecycleHooksResult><LifecycleHooks>{both}</LifecycleHooks></DescribeLifecycleHooksResult></DescribeLifecycleHooksResponse>"
    )
}

fn done(what: &str) -> String {
    format!("<{what}Response><{what}Result/></{what}Response>")
}

#[tokio::test]
async fn an_instance_with_bots_is_protected_and_one_that_is_to_go_waits_for_its_calls() {
    let going = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&going);
    let metadata = metadata(move || seen.load(Ordering::SeqCst)).await;
    let answers = [
        members("workers"),
        done("SetInstanceProtection"),
        done("SetInstanceProtection"),
        hooks(),
        done("RecordLifecycleActionHeartbeat"),
        hooks(),
        done("CompleteLifecycleAction"),
    ];
    let service = Script::new(answers.iter().map(|answer| (200, answer.as_str())));
    let asg = Asg::new(metadata.url.clone(), None, Client::new(&service.config())).unwrap();
    asg.tell(2).await.unwrap();
    asg.tell(0).await.unwrap();
    // Nobody wants it back: there is nothing to complete.
    asg.let_go().await.unwrap();
    going.store(true, Ordering::SeqCst);
    asg.recalled().await;
    asg.tell(2).await.unwrap();
    asg.more_time().await.unwrap();
    asg.let_go().await.unwrap();
    let asked = service.asked();
    let wanted: [&[&str]; 7] = [
        &["DescribeAutoScalingInstances", INSTANCE],
        &["SetInstanceProtection", "ProtectedFromScaleIn=true", "AutoScalingGroupName=workers", INSTANCE],
        &["SetInstanceProtection", "ProtectedFromScaleIn=false"],
        &["DescribeLifecycleHooks", "workers"],
        &["RecordLifecycleActionHeartbeat", "LifecycleHookName=drain", INSTANCE],
        &["DescribeLifecycleHooks"],
        &["CompleteLifecycleAction", "LifecycleActionResult=CONTINUE", "LifecycleHookName=drain", INSTANCE],
    ];
    assert_eq!(asked.len(), wanted.len(), "{asked:#?}");
    for (asked, wanted) in asked.iter().zip(wanted) {
        assert!(wanted.iter().all(|part| asked.contains(part)), "{wanted:?} in {asked}");
    }
}

#[tokio::test]
async fn an_instance_whose_worker_was_drained_is_given_back_and_its_hook_let_go() {
    // In service when it is asked first, before it is given back.
    let asked_before = AtomicBool::new(false);
    let metadata = metadata(move || asked_before.swap(true, Ordering::SeqCst)).await;
    let answers = [
        members("workers"),
        done("TerminateInstanceInAutoScalingGroup"),
        hooks(),
        hooks(),
        done("CompleteLifecycleAction"),
    ];
    let service = Script::new(answers.iter().map(|answer| (200, answer.as_str())));
    let asg = Asg::new(metadata.url.clone(), None, Client::new(&service.config())).unwrap();
    assert!(!asg.replaces(), "it is not known yet");
    asg.give_back().await.unwrap();
    assert!(asg.replaces());
    asg.let_go().await.unwrap();
    asg.give_back().await.unwrap();
    let asked = service.asked();
    let wanted: [&[&str]; 5] = [
        &["DescribeAutoScalingInstances", INSTANCE],
        &["TerminateInstanceInAutoScalingGroup", INSTANCE, "ShouldDecrementDesiredCapacity=false"],
        &["DescribeLifecycleHooks", "workers"],
        &["DescribeLifecycleHooks"],
        &["CompleteLifecycleAction", "LifecycleActionResult=CONTINUE", "LifecycleHookName=drain", INSTANCE],
    ];
    assert_eq!(asked.len(), wanted.len(), "{asked:#?}");
    for (asked, wanted) in asked.iter().zip(wanted) {
        assert!(wanted.iter().all(|part| asked.contains(part)), "{wanted:?} in {asked}");
    }
}

#[tokio::test]
async fn an_instance_that_its_group_has_chosen_meanwhile_is_let_go() {
    let metadata = metadata(|| true).await;
    let answers = [members("workers"), hooks(), done("CompleteLifecycleAction")];
    let service = Script::new(answers.iter().map(|answer| (200, answer.as_str())));
    let asg = Asg::new(metadata.url.clone(), None, Client::new(&service.config())).unwrap();
    asg.give_back().await.unwrap();
    asg.let_go().await.unwrap();
    let asked = service.asked();
    assert_eq!(asked.len(), 3, "{asked:#?}");
    assert!(!asked.iter().any(|asked| asked.contains("TerminateInstance")), "{asked:#?}");
}

#[tokio::test]
async fn an_instance_that_cannot_be_asked_is_known_to_go_by_its_group() {
    let nobody = Fake::start(|_| (StatusCode::FORBIDDEN, String::new())).await;
    let state = |state: &str| {
        let state = format!("<LifecycleState>{state}</LifecycleState></member>");
        members("workers").replace("</member>", &state)
    };
    let answers = [state("InService"), state("InService"), state("Terminating:Wait")];
    let service = Script::new(answers.iter().map(|answer| (200, answer.as_str())));
    let asg = Asg::new(nobody.url.clone(), Some(INSTANCE.to_owned()), Client::new(&service.config())).unwrap();
    assert_eq!(asg.is_going().await, (false, ASK_EVERY));
    asg.recalled().await;
    assert!(asg.is_recalled());
    assert_eq!(service.asked().len(), 3, "once for its group, and then for its state");
}

#[tokio::test]
async fn an_instance_of_a_group_has_one_worker() {
    let metadata = metadata(|| false).await;
    let seat = format!("muster-test-{}", uuid::Uuid::new_v4().as_simple());
    let settle = async |group: &str| {
        let answer = members(group);
        let service = Script::new([(200, answer.as_str())]);
        let mut asg = Asg::new(metadata.url.clone(), None, Client::new(&service.config())).unwrap();
        asg.settle(&seat).await.map(|()| asg)
    };
    let first = settle("workers").await.unwrap();
    let error = settle("workers").await.unwrap_err().to_string();
    assert!(error.contains(INSTANCE) && error.contains("Auto Scaling group workers"), "{error}");
    settle("").await.expect("there is no group that ends it");
    drop(first);
    settle("workers").await.expect("the other one is gone");
}

#[tokio::test]
async fn an_instance_in_no_group_is_left_alone() {
    let metadata = metadata(|| false).await;
    let answer = members("");
    let service = Script::new([(200, answer.as_str())]);
    let asg = Asg::new(metadata.url.clone(), Some(INSTANCE.to_owned()), Client::new(&service.config())).unwrap();
    asg.tell(1).await.unwrap();
    asg.tell(0).await.unwrap();
    asg.give_back().await.unwrap();
    assert!(!asg.replaces());
    assert_eq!(service.asked().len(), 1, "asked once");
}

#[tokio::test]
async fn an_instance_of_a_real_group_is_spared_while_it_has_bots() {
    let Some((aws, name)) = muster_aws::testing::moto() else { return };
    let groups = Client::new(&aws.load(CALL).await);
    let configuration = groups.create_launch_configuration().launch_configuration_name(&name);
    // One that is listed there.
    configuration.image_id("ami-12c6146b").instance_type("t2.micro").send().await.unwrap();
    let group = groups.create_auto_scaling_group().auto_scaling_group_name(&name).launch_configuration_name(&name);
    let group = group.min_size(0).max_size(2).desired_capacity(2).availability_zones("us-east-1a");
    group.send().await.unwrap();
    let instances = async || {
        let found = groups.describe_auto_scaling_groups().auto_scaling_group_names(&name).send().await.unwrap();
        let instances = found.auto_scaling_groups()[0].instances().to_vec();
        let told = |one: &aws_sdk_autoscaling::types::Instance| {
            (one.instance_id().unwrap().to_owned(), one.protected_from_scale_in().unwrap())
        };
        instances.iter().map(told).collect::<Vec<_>>()
    };
    let ours = instances().await[1].0.clone();
    let metadata = metadata(|| false).await;
    let asg = Asg::new(metadata.url.clone(), Some(ours.clone()), groups.clone()).unwrap();
    asg.tell(3).await.unwrap();
    assert!(instances().await.contains(&(ours.clone(), true)));
    let desired = groups.set_desired_capacity().auto_scaling_group_name(&name).desired_capacity(1);
    desired.send().await.unwrap();
    assert_eq!(instances().await, [(ours.clone(), true)], "the other one went");
    asg.tell(0).await.unwrap();
    assert_eq!(instances().await, [(ours.clone(), false)]);
    // Its worker was drained while one is wanted: another instance comes in its place.
    asg.give_back().await.unwrap();
    let left = instances().await;
    assert!(left.len() == 1 && left[0].0 != ours, "{left:?}");
}
