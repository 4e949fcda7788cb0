//! The whole row of stations: bytes, packets and expvar bodies in, a page out.

use std::sync::{Arc, LazyLock};

use godebug_exporter::config::{Config, file};
use godebug_exporter::frame::packets::TraceLines;
use godebug_exporter::model::exposition::Exposition;
use godebug_exporter::model::sink::TraceSink;
use godebug_exporter::pipeline::{Pipeline, services::Pipelines};
use godebug_exporter::telemetry::metrics::Metrics;

use crate::input::{Input, Output};
use crate::{page, seeds};

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "services: [{name: a, trace: {stdin: true, max_line: 1KiB}, runqueue_per_p: true, expvar: {url: 'http://a/', by_size: true}}]";
    file::read(text).unwrap()
});

/// One registry for all executions: to make it takes longer than most of them.
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::new().unwrap()));

pub fn run(data: &[u8]) {
    let metrics = Arc::clone(&METRICS);
    let pipeline = Pipeline::new(&CONFIG.services[0], Arc::clone(&metrics), TraceLines::Strip);
    let pipelines = Pipelines::new(vec![Arc::clone(&pipeline)], metrics, Exposition::default());
    let (mut sink, mut input, mut passed) = (pipeline.sink(), Input::new(data), Vec::new());
    while !input.is_empty() {
        let what = input.byte();
        match what % 8 {
            0 => sink.break_line(),
            1 => sink.end(&mut passed),
            2 => sink.packet(input.text(), &mut passed),
            // Its rest is one body.
            3 => {
                let _refused =
                    pipeline.expvar(std::mem::replace(&mut input, Input::new(&[])).rest());
            }
            4 => pipeline.expvar_failed(),
            5 => page::check(&pipelines.page()),
            _ => sink.bytes(input.text()),
        }
    }
    page::check(&pipelines.page());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for log in seeds::logs() {
        let mut out = Output::default();
        for chunk in log.chunks(251).take(12) {
            out = out.byte(6).text(chunk);
        }
        all.push(out.byte(1).0);
    }
    for body in seeds::expvar_bodies() {
        all.push(Output::default().byte(3).rest(&body));
    }
    all
}
