//! `demo`: what real Go services wrote, replayed as if they ran now. README.md beside this file
//! tells how the recordings were made.

mod recording;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use hyper::Uri;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::tokio_runtime;
use crate::app::listen::bind;
use crate::app::{App, Stations};
use crate::config::endpoint::EXPVAR;
use crate::config::http::Http;
use crate::config::listen::Listen;
use crate::config::web::Web;
use crate::config::{Config, Expvar, LINE_MAX_BYTES, LISTEN, Log, Service, Trace, TraceSource};
use crate::frame::packets::TraceLines;
use crate::model::exposition::Exposition;
use crate::model::service::{Identity, Label, ServiceName};
use crate::model::sink::TraceSink;
use crate::model::wrapping::Wrapping;
use crate::pipeline::Pipeline;
use crate::runtime::signals::asked_to_stop;
use crate::serve::listener::Listener;
use crate::telemetry::logs;
use recording::{Entry, Payload};

/// A recorded service: its name, what it shows, and what it wrote.
struct Recorded {
    name: &'static str,
    shows: &'static str,
    text: &'static [u8],
}

const RECORDED: [Recorded; 3] = [
    Recorded { name: "checkout", shows: "goroutine leak", text: include_bytes!("leak.rec") },
    Recorded { name: "thumbnails", shows: "GC storm", text: include_bytes!("gcstorm.rec") },
    Recorded {
        name: "router",
        shows: "saturated scheduler",
        text: include_bytes!("saturated.rec"),
    },
];

/// Loopback: a demo is for the one who starts it.
const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), LISTEN.port());

/// Replays until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot listen, or a recording is damaged.
pub fn run(listen: Option<Listen>) -> anyhow::Result<()> {
    let config = config(listen.unwrap_or(Listen::Tcp(ADDRESS)))?;
    logs::start(config.log.format, config.log.level).context("cannot start logging")?;
    let recordings = RECORDED
        .iter()
        .map(|recorded| recording::read(recorded.text))
        .collect::<Result<Vec<_>, _>>();
    let recordings =
        recordings.map_err(|what| anyhow::anyhow!("an embedded recording is damaged: {what}"))?;
    tokio_runtime().context("cannot start the runtime")?.block_on(async {
        let listeners = bind(&config.listen)?;
        welcome(listeners.first().and_then(Listener::address).unwrap_or(ADDRESS))?;
        let stations = Stations::new(&config, TraceLines::Keep)?;
        let services = stations.services.clone();
        let app = App::build(config, None, stations);
        app.start().await?;
        for (pipeline, entries) in services.into_iter().zip(recordings) {
            app.supervisor()
                .spawn("replay", replay(pipeline, entries, app.supervisor().stop().clone()));
        }
        let (stop, stopped) = oneshot::channel::<()>();
        app.supervisor().spawn("signals", async {
            let _signal = asked_to_stop().await;
            let _gone = stop.send(());
        });
        app.run(listeners, None, async {
            let _ended = stopped.await;
        })
        .await;
        Ok(())
    })
}

fn config(listen: Listen) -> anyhow::Result<Config> {
    let services =
        RECORDED.iter().map(service).collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::msg)?;
    Ok(Config {
        discovery: Vec::new(),
        listen: vec![listen],
        log: Log { level: tracing::level_filters::LevelFilter::WARN, ..Log::default() },
        exposition: Exposition::default(),
        services,
        state: None,
        web: Web::default(),
        probe: None,
        otlp: None,
        ignored: Vec::new(),
    })
}

fn service(recorded: &Recorded) -> Result<Service, &'static str> {
    let labels = vec![Label::new("demo", recorded.shows)?];
    Ok(Service {
        identity: Identity::new(ServiceName::new(recorded.name)?, labels),
        trace: Some(Trace {
            source: TraceSource::Recording,
            max_line_bytes: LINE_MAX_BYTES,
            wrapping: Wrapping::Plain,
        }),
        expvar: Some(Expvar {
            endpoint: EXPVAR.at(Uri::from_static("http://recording/debug/vars")),
            by_size: false,
            variables: Arc::default(),
        }),
        http: Http::default(),
        pprof: None,
        container: None,
        runqueue_per_p: false,
        leak_detector: Arc::default(),
    })
}

#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
fn welcome(address: SocketAddr) -> anyhow::Result<()> {
    println!("Replaying what three real Go services wrote, over and over, as if they ran now:\n");
    for recorded in &RECORDED {
        println!("  service=\"{}\"  {}", recorded.name, recorded.shows);
    }
    println!("\nMetrics:  http://{address}/metrics");
    println!(
        "Try:      curl -s http://{address}/metrics | grep -E '^go_(goroutines|gc_cpu_ratio|sched_runqueue_gor)'"
    );
    println!("          and once more in half a minute: goroutines of checkout have grown");
    println!("\nYour own service:  godebug-exporter exec -- ./my-service\nCtrl-C ends the demo.");
    std::io::Write::flush(&mut std::io::stdout()).context("cannot write to stdout")
}

/// Gives each entry at its time; at the end the service "restarts".
async fn replay(pipeline: Arc<Pipeline>, entries: Vec<Entry>, stop: CancellationToken) {
    let mut sink = pipeline.sink();
    while !stop.is_cancelled() {
        let started = Instant::now();
        for entry in &entries {
            let wait = entry.at.saturating_sub(started.elapsed());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            match entry.payload {
                Payload::Stderr(bytes) => sink.bytes(bytes),
                Payload::Vars(body) => {
                    // The recordings' bodies are whole; a test reads each.
                    let _whole = pipeline.expvar(body);
                }
            }
        }
        sink.end(&mut Vec::new());
    }
}
