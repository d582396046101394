//! What is for `actuator = "ecs"`, `"asg"` and for CloudWatch.

#[cfg(feature = "aws")]
use muster_aws::AwsSettings;

use super::ActuatorConfig;
#[cfg(feature = "aws")]
use super::{AsgConfig, CloudwatchConfig, EcsConfig};
use crate::config::reader::{Reader, Text};

/// Everything that is said of Amazon.
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "read, so that mistakes are told, and not used"))]
pub(super) struct Amazon {
    region: Option<String>,
    endpoint_url: Option<String>,
    cluster: String,
    service: Option<String>,
    group: Option<String>,
    namespace: Option<String>,
}

pub(super) fn read(r: &mut Reader<'_>, kind: &str) -> Amazon {
    let amazon = Amazon {
        region: r.text_opt("autoscale.region", "For Amazon: the region, such as eu-central-1. Default: AWS_REGION, or what the profile says. Credentials are taken from the usual places."),
        endpoint_url: r.address("autoscale.endpoint_url", "For Amazon: another address than the region's own, such as a VPC endpoint's.", &["https", "http"]),
        cluster: r.text(Text::new("autoscale.ecs.cluster", "default", "For `ecs`: the cluster.")),
        service: r.text_opt("autoscale.ecs.service", "For `ecs`: the service whose tasks are workers."),
        group: r.text_opt("autoscale.asg.group", "For `asg`: the group whose instances are workers, one on each. Its own least and most hold too."),
        namespace: r.text_opt("autoscale.cloudwatch_namespace", "Figures of the fleet are published to CloudWatch under this name, for alarms and policies of Amazon's, whatever the actuator. Default: they are not."),
    };
    super::only_for(r, kind, "ecs", &["autoscale.ecs.cluster", "autoscale.ecs.service"]);
    super::only_for(r, kind, "asg", &["autoscale.asg.group"]);
    let unused = !matches!(kind, "ecs" | "asg") && amazon.namespace.is_none();
    for key in ["autoscale.region", "autoscale.endpoint_url"] {
        if unused && r.is_given(key) {
            r.problem(format!(
                "{key}: is for the actuators \"ecs\" and \"asg\" and for autoscale.cloudwatch_namespace"
            ));
        }
    }
    let needed = [
        ("ecs", "autoscale.ecs.service", amazon.service.is_some()),
        ("asg", "autoscale.asg.group", amazon.group.is_some()),
    ];
    for (own, key, given) in needed {
        if kind == own && !given {
            r.problem(format!("{key}: is needed when autoscale.actuator is \"{own}\""));
        }
    }
    let wants = match kind {
        "ecs" | "asg" => Some(format!("autoscale.actuator: \"{kind}\"")),
        _ => amazon.namespace.is_some().then(|| "autoscale.cloudwatch_namespace: publishing".to_owned()),
    };
    if let Some(problem) = wants.and_then(|what| missing(&what, cfg!(feature = "aws"))) {
        r.problem(problem);
    }
    amazon
}

/// What to say of something that this program was built without.
fn missing(what: &str, has_sdk: bool) -> Option<String> {
    (!has_sdk).then(|| {
        format!(
            "{what} is not in this program, which was built without Amazon's SDK: take a release, or build one with \
             `cargo build --release --locked -p muster-server --features aws` (`make release`)"
        )
    })
}

impl Amazon {
    /// None instead of what is incomplete, of which [`read`] has told.
    #[cfg(feature = "aws")]
    pub(super) fn actuator(&self, kind: &str) -> ActuatorConfig {
        match (kind, &self.service, &self.group) {
            ("ecs", Some(service), _) => {
                let (cluster, service) = (self.cluster.clone(), service.clone());
                ActuatorConfig::Ecs(EcsConfig { aws: self.settings(), cluster, service })
            }
            ("asg", _, Some(group)) => ActuatorConfig::Asg(AsgConfig { aws: self.settings(), group: group.clone() }),
            _ => ActuatorConfig::None,
        }
    }

    #[cfg(not(feature = "aws"))]
    pub(super) fn actuator(&self, _: &str) -> ActuatorConfig {
        ActuatorConfig::None
    }

    #[cfg(feature = "aws")]
    pub(super) fn cloudwatch(&self) -> Option<CloudwatchConfig> {
        let namespace = self.namespace.clone()?;
        Some(CloudwatchConfig { aws: self.settings(), namespace })
    }

    #[cfg(feature = "aws")]
    fn settings(&self) -> AwsSettings {
        AwsSettings { region: self.region.clone(), endpoint_url: self.endpoint_url.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_the_sdk_says_how_to_get_one_with_it() {
        let problem = missing("autoscale.actuator: \"ecs\"", false).unwrap();
        assert!(problem.contains("is not in this program") && problem.contains("--features aws"), "{problem}");
        assert_eq!(missing("x", true), None);
    }
}
