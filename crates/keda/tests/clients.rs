//! Two clients that have nothing in common but the proto file: tonic's, and one that Google's tools make.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use muster_keda::external_scaler_client::ExternalScalerClient;
use muster_keda::{GetMetricsRequest, Reading, ScaledObjectRef, Source};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

const LOOK: Duration = Duration::from_millis(20);

/// What a test says it is; none is out of reach.
#[derive(Clone)]
struct Told(watch::Receiver<Option<Reading>>);

#[async_trait]
impl Source for Told {
    const FIGURES: &'static [&'static str] = &["to_add", "waiting"];

    async fn read(&self) -> Result<Reading, String> {
        self.0.borrow().clone().ok_or_else(|| "the queue could not be read".to_owned())
    }
}

fn reading(waiting: u64) -> Option<Reading> {
    let figures = BTreeMap::from([("to_add", waiting.div_ceil(8)), ("waiting", waiting)]);
    Some(Reading { active: waiting > 0, wanted: waiting, figures })
}

struct Server {
    tell: watch::Sender<Option<Reading>>,
    address: String,
    ended: CancellationToken,
    task: AbortOnDropHandle<Result<(), tonic::transport::Error>>,
}

impl Server {
    async fn start() -> Self {
        let (tell, told) = watch::channel(reading(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ended = CancellationToken::new();
        let task = tokio::spawn(muster_keda::serve(listener, Told(told), LOOK, ended.clone()));
        Self { tell, address, ended, task: AbortOnDropHandle::new(task) }
    }

    async fn client(&self) -> ExternalScalerClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        ExternalScalerClient::new(endpoint.connect().await.unwrap())
    }

    /// It ends although streams are open.
    async fn end(self) {
        self.ended.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn trigger(metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let scaler_metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    ScaledObjectRef { name: "workers".into(), namespace: "muster".into(), scaler_metadata }
}

#[tokio::test]
async fn a_stream_says_at_once_what_is_so_and_what_becomes_of_it() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut stream = client.stream_is_active(trigger(&[])).await.unwrap().into_inner();
    assert!(!stream.message().await.unwrap().unwrap().result);
    server.tell.send_replace(reading(1));
    assert!(stream.message().await.unwrap().unwrap().result);
    server.tell.send_replace(reading(20));
    assert!(stream.message().await.unwrap().unwrap().result, "more wait");
    assert!(client.is_active(trigger(&[])).await.unwrap().into_inner().result);
    // While nothing is known nothing is said, and whoever asks is told why.
    server.tell.send_replace(None);
    let error = client.is_active(trigger(&[])).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "the queue could not be read"));
    server.tell.send_replace(reading(0));
    assert!(!stream.message().await.unwrap().unwrap().result);
    server.end().await;
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_trigger_says_which_figure_and_how_much_of_it() {
    let server = Server::start().await;
    server.tell.send_replace(reading(20));
    let mut client = server.client().await;
    let of = async |client: &mut ExternalScalerClient<Channel>, metadata: &[(&str, &str)]| {
        let spec = client.get_metric_spec(trigger(metadata)).await?.into_inner().metric_specs.remove(0);
        let request =
            GetMetricsRequest { scaled_object_ref: Some(trigger(metadata)), metric_name: spec.metric_name.clone() };
        let value = client.get_metrics(request).await?.into_inner().metric_values.remove(0);
        assert_eq!(value.metric_name, spec.metric_name);
        Ok::<_, tonic::Status>((spec.metric_name, spec.target_size_float, value.metric_value, value.metric_value_float))
    };
    assert_eq!(of(&mut client, &[]).await.unwrap(), ("to_add".to_owned(), 1.0, 3, 3.0));
    let waiting = of(&mut client, &[("metric", "waiting"), ("target", "8")]).await.unwrap();
    assert_eq!(waiting, ("waiting".to_owned(), 8.0, 20, 20.0));
    for wrong in [("metric", "moons"), ("target", "0"), ("target", "many")] {
        let error = of(&mut client, &[wrong]).await.unwrap_err();
        assert!(error.code() == Code::InvalidArgument && error.message().starts_with(wrong.0), "{error:?}");
    }
    server.end().await;
}

/// `MUSTER_TEST_KEDA_PYTHON`, or the one that `make test` prepares.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("MUSTER_TEST_KEDA_PYTHON").filter(|path| !path.is_empty());
    let python = given.map_or_else(|| root.join(".tools/venv-keda/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: run `make test`, which installs it", python.display());
    python
}

async fn heard(lines: &mut Lines<BufReader<tokio::process::ChildStdout>>) -> String {
    lines.next_line().await.unwrap().expect("the client went on")
}

#[tokio::test]
async fn a_client_that_others_tools_made_understands_it() {
    let server = Server::start().await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut client = tokio::process::Command::new(python())
        .arg(here.join("tests/client.py"))
        .arg(here.join("proto"))
        .arg(&server.address)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(heard(&mut lines).await, r#"{"what": "stream", "active": false}"#);
    assert_eq!(heard(&mut lines).await, r#"{"what": "spec", "specs": [["to_add", 3, 2.5]]}"#);
    assert_eq!(heard(&mut lines).await, r#"{"what": "metrics", "values": [["to_add", 0, 0.0]]}"#);
    server.tell.send_replace(reading(9));
    assert_eq!(heard(&mut lines).await, r#"{"what": "stream", "active": true}"#);
    assert_eq!(heard(&mut lines).await, r#"{"what": "active", "active": true}"#);
    assert_eq!(heard(&mut lines).await, r#"{"what": "metrics", "values": [["to_add", 2, 2.0]]}"#);
    let refused = heard(&mut lines).await;
    assert!(refused.contains("INVALID_ARGUMENT") && refused.contains("moons"), "{refused}");
    server.end().await;
    assert_eq!(heard(&mut lines).await, r#"{"what": "end", "heard": 0}"#);
    assert!(client.wait().await.unwrap().success());
}
