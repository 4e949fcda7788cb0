//! Records as `parse` prints them.

use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{Event, Gc, Proc, Record, Sched, SchedSummary};

#[derive(Serialize)]
struct SchedJson<'a> {
    kind: &'static str,
    #[serde(flatten)]
    sched: &'a Sched,
}

#[derive(Serialize)]
struct GcJson<'a> {
    kind: &'static str,
    #[serde(flatten)]
    gc: &'a Gc,
}

#[derive(Serialize)]
struct EventJson<'a> {
    kind: &'static str,
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    torn: bool,
}

#[derive(Serialize)]
struct DetailJson<'a, D: Serialize> {
    kind: &'static str,
    #[serde(flatten)]
    summary: &'a SchedSummary,
    local_runqueues: SeqOf<'a, Proc, u32>,
    schedticks: SeqOf<'a, Proc, u32>,
    gcwaiting: bool,
    nmidlelocked: i64,
    stopwait: i64,
    sysmonwait: bool,
    procs: &'a [Proc],
    #[serde(flatten)]
    dump: &'a D,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    unknown: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    torn: bool,
}

/// One field of each item, as a JSON array.
struct SeqOf<'a, T, V>(&'a [T], fn(&T) -> V);

impl<T, V: Serialize> Serialize for SeqOf<'_, T, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            seq.serialize_element(&(self.1)(item))?;
        }
        seq.end()
    }
}

impl<D: Serialize> Serialize for Record<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.kind().as_str();
        match self {
            Self::Sched(sched) => SchedJson { kind, sched }.serialize(serializer),
            Self::Gc(gc) => GcJson { kind, gc }.serialize(serializer),
            Self::Event(event, torn) => {
                EventJson { kind, event, torn: *torn }.serialize(serializer)
            }
            Self::Crash(crash) => crash.serialize(serializer),
            Self::SchedDetail(block) => DetailJson {
                kind,
                summary: &block.head.summary,
                local_runqueues: SeqOf(&block.procs, |p| p.runqsize),
                schedticks: SeqOf(&block.procs, |p| p.schedtick),
                gcwaiting: block.head.gcwaiting,
                nmidlelocked: block.head.nmidlelocked,
                stopwait: block.head.stopwait,
                sysmonwait: block.head.sysmonwait,
                procs: &block.procs,
                dump: &block.dump,
                unknown: &block.head.unknown,
                torn: block.torn,
            }
            .serialize(serializer),
        }
    }
}
