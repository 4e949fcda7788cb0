//! What the tests run against, and how they look at it.

pub(crate) mod api_server;
pub(crate) mod captured;
pub(crate) mod certificates;
pub(crate) mod curl;
pub(crate) mod endpoint;
pub(crate) mod exporter;
pub(crate) mod go;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod kubelet;
pub(crate) mod manifests;
pub(crate) mod metrics;
pub(crate) mod open_metrics;
pub(crate) mod otlp;
pub(crate) mod podman;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod promql;
pub(crate) mod protobuf;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod service;
pub(crate) mod trace;
pub(crate) mod wait;
pub(crate) mod writer;
