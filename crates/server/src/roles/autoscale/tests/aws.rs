//! Through Amazon's SDK, against what plays the services here.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::Statistic;
use aws_sdk_ecs::types::ContainerDefinition;
use muster_aws::{AwsSettings, SdkConfig};
use muster_fleet::scaling::Policy;

use super::super::actuators::{AsgActuator, Cloudwatch, EcsActuator};
use super::{MINUTE, World, guide};
use crate::config::{AsgConfig, CloudwatchConfig, EcsConfig};

/// A place, its services, and a name for what a test makes there.
async fn place(found: Option<(AwsSettings, String)>) -> Option<(AwsSettings, SdkConfig, String)> {
    let (settings, name) = found?;
    let config = settings.load(Duration::from_secs(10)).await;
    Some((settings, config, name))
}

#[tokio::test]
async fn a_service_of_ecs_gets_the_count_that_is_decided() {
    let Some((aws, sdk, name)) = place(muster_aws::testing::emulator()).await else { return };
    let ecs = aws_sdk_ecs::Client::new(&sdk);
    ecs.create_cluster().cluster_name(&name).send().await.unwrap();
    let container = ContainerDefinition::builder().name("worker").image("muster").memory(64).build();
    ecs.register_task_definition().family(&name).container_definitions(container).send().await.unwrap();
    let service = ecs.create_service().cluster(&name).service_name("worker").task_definition(&name).desired_count(1);
    service.send().await.unwrap();
    let count = async || {
        let found = ecs.describe_services().cluster(&name).services("worker").send().await.unwrap();
        found.services()[0].desired_count()
    };
    let world = World::new(guide(), 0);
    let actuator = |service: &str| {
        let config = EcsConfig { aws: aws.clone(), cluster: name.clone(), service: service.into() };
        EcsActuator::new(config)
    };
    let nowhere = world.leader_of(actuator("moon").await, None);
    let error = format!("{:#}", nowhere.step().await.unwrap_err());
    assert!(error.contains("autoscale.ecs.service: there is no active service moon"), "{error}");
    let namespace = format!("Muster-{name}");
    let cloudwatch = CloudwatchConfig { aws: aws.clone(), namespace: namespace.clone() };
    let leader = world.leader_of(actuator("worker").await, Some(Box::new(Cloudwatch::new(cloudwatch).await)));
    world.beat(1, 5).await;
    world.bots_wait(20).await;
    leader.step().await.unwrap();
    assert_eq!(count().await, 4);
    leader.step().await.unwrap();
    world.queue_is_empty().await;
    world.advance(MINUTE * 4);
    world.beat(4, 0).await;
    leader.step().await.unwrap();
    assert_eq!(count().await, 3);
    // An operator's own count is respected.
    ecs.update_service().cluster(&name).service("worker").desired_count(7).send().await.unwrap();
    for _ in 0..2 {
        world.beat(7, 0).await;
        leader.step().await.unwrap();
    }
    assert_eq!((count().await, world.kept().await.memory.desired), (7, Some(7)));
    assert_eq!(highest(&sdk, &namespace, "QueueDepth").await, Some(20.0));
    assert_eq!(highest(&sdk, &namespace, "DesiredWorkers").await, Some(7.0));
    assert_eq!(highest(&sdk, &namespace, "MemoryUtilization").await, Some(10.0));
}

/// Of what was published.
async fn highest(sdk: &SdkConfig, namespace: &str, metric: &str) -> Option<f64> {
    let now = SystemTime::now();
    let request = aws_sdk_cloudwatch::Client::new(sdk).get_metric_statistics().namespace(namespace).metric_name(metric);
    let request = request.start_time(DateTime::from(now - MINUTE * 10)).end_time(DateTime::from(now + MINUTE * 10));
    let found = request.period(60).statistics(Statistic::Maximum).send().await.unwrap();
    found.datapoints().iter().filter_map(|point| point.maximum()).reduce(f64::max)
}

#[tokio::test]
async fn an_auto_scaling_group_gets_the_capacity_that_is_decided_within_its_bounds() {
    let Some((aws, sdk, name)) = place(muster_aws::testing::moto()).await else { return };
    let groups = aws_sdk_autoscaling::Client::new(&sdk);
    let configuration = groups.create_launch_configuration().launch_configuration_name(&name);
    // One that is listed there.
    configuration.image_id("ami-12c6146b").instance_type("t2.micro").send().await.unwrap();
    let group = groups.create_auto_scaling_group().auto_scaling_group_name(&name).launch_configuration_name(&name);
    let group = group.min_size(2).max_size(5).desired_capacity(2).default_cooldown(3_600);
    group.availability_zones("us-east-1a").send().await.unwrap();
    let capacity = async || {
        let found = groups.describe_auto_scaling_groups().auto_scaling_group_names(&name).send().await.unwrap();
        found.auto_scaling_groups()[0].desired_capacity().unwrap()
    };
    let world = World::new(Policy { min_workers: 0, ..guide() }, 0);
    let actuator = async |group: &str| AsgActuator::new(AsgConfig { aws: aws.clone(), group: group.into() }).await;
    let error = format!("{:#}", world.leader_of(actuator("moon").await, None).step().await.unwrap_err());
    assert!(error.contains("autoscale.asg.group: there is no group moon"), "{error}");
    let leader = world.leader_of(actuator(&name).await, None);
    world.beat(2, 4).await;
    world.bots_wait(16).await;
    leader.step().await.unwrap();
    assert_eq!(capacity().await, 3);
    world.bots_wait(100).await;
    world.beat(3, 8).await;
    leader.step().await.unwrap();
    assert_eq!(capacity().await, 5, "its own bound");
    leader.step().await.unwrap();
    world.queue_is_empty().await;
    for _ in 0..5 {
        world.advance(MINUTE * 4);
        world.beat(5, 0).await;
        leader.step().await.unwrap();
    }
    assert_eq!(capacity().await, 2, "its own bound, although none is needed");
    let changes = world.kept().await.changes;
    assert_eq!(changes.iter().map(|change| change.to).collect::<Vec<_>>(), [3, 5, 4, 3, 2]);
}
