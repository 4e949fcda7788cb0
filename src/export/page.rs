//! A whole page: the services' families, their own variables, and ours, in the form that was asked
//! for.

use prometheus::proto::MetricFamily;

use super::family::{self, Family, Sample, Writer};
use super::protobuf::Protobuf;
use super::text::Text;
use super::{own, variables};
use crate::model::exposition::{Exposition, Format, Wanted};
use crate::model::metric::{Desc, Kind, NameSet};
use crate::model::snapshot::{Series, ServiceSnapshot};

/// What a page is made of: one moment.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// What the services' metrics are.
    pub catalog: &'a [Desc],
    /// The services.
    pub services: &'a [ServiceSnapshot],
    /// The exporter's own families.
    pub own: &'a [MetricFamily],
}

impl Content<'_> {
    /// Writes the page. What was written is offered to `take` now and then, and what that leaves is
    /// given at the end.
    #[must_use]
    pub fn write(
        &self,
        exposition: Exposition,
        wanted: &Wanted,
        take: &mut impl FnMut(&mut Vec<u8>),
    ) -> Vec<u8> {
        let (escaping, names) = (wanted.escaping.unwrap_or_default(), exposition.names);
        match wanted.format {
            Format::Text | Format::Text1 => {
                self.by(Text::prometheus(escaping), names, wanted, take)
            }
            Format::OpenMetrics | Format::OpenMetrics0 => {
                self.by(Text::open_metrics(escaping, exposition.created), names, wanted, take)
            }
            Format::Protobuf => {
                self.by(Protobuf::new(escaping, exposition.classic_histograms), names, wanted, take)
            }
        }
    }

    fn by(
        &self,
        mut writer: impl Writer,
        names: NameSet,
        wanted: &Wanted,
        take: &mut impl FnMut(&mut Vec<u8>),
    ) -> Vec<u8> {
        let mut writer = Selected { inner: &mut writer, names: &wanted.names, skips: false };
        Services::new(self.services, &writer).write(self.catalog, names, &mut writer, take);
        variables::write(self.services, &mut writer, take);
        own::write(self.own, &wanted.services, &mut writer, take);
        writer.finish();
        std::mem::take(writer.written())
    }
}

/// The services, each with its labels as they are written.
#[derive(Debug)]
pub struct Services<'a>(Vec<(&'a ServiceSnapshot, Vec<u8>, &'a [Series])>);

impl<'a> Services<'a> {
    /// For one format.
    #[must_use]
    pub fn new(services: &'a [ServiceSnapshot], writer: &impl Writer) -> Self {
        let one = |service: &'a ServiceSnapshot| {
            let labels = writer.labels(family::identity(&service.identity));
            (service, labels, service.series.as_slice())
        };
        Self(services.iter().map(one).collect())
    }

    /// Every family of the catalogue that has a series.
    pub fn write(
        mut self,
        catalog: &[Desc],
        names: NameSet,
        writer: &mut impl Writer,
        take: &mut impl FnMut(&mut Vec<u8>),
    ) {
        for (id, desc) in catalog.iter().enumerate() {
            let mut headed = false;
            for (service, labels, rest) in &mut self.0 {
                let of_others = |series: &Series| usize::from(series.metric.0) > id;
                let end = rest.iter().position(of_others).unwrap_or(rest.len());
                let (these, later) = rest.split_at(end);
                *rest = later;
                if these.is_empty() {
                    continue;
                }
                if !headed {
                    writer.begin(&head(desc, catalog, names));
                    headed = true;
                }
                for series in these {
                    write(writer, desc, service, labels, series);
                }
                take(writer.written());
            }
            if headed {
                writer.end();
                take(writer.written());
            }
        }
    }
}

fn head<'a>(desc: &Desc, catalog: &[Desc], names: NameSet) -> Family<'a> {
    let (name, kind) = desc.named(names);
    let base = match kind {
        Kind::Counter => name.strip_suffix("_total"),
        _ => name.strip_suffix("_info"),
    };
    let is_taken = |base: &str| catalog.iter().any(|other| other.named(names).0 == base);
    Family {
        name,
        help: desc.help,
        kind,
        base_taken: base.is_some_and(is_taken),
        has_unit: name == desc.name,
    }
}

fn write(
    writer: &mut impl Writer,
    desc: &Desc,
    service: &ServiceSnapshot,
    identity: &[u8],
    series: &Series,
) {
    let names = desc.labels.iter().copied().chain(service.more_labels.iter().map(|name| &**name));
    let labels = names.zip(series.labels.iter().map(|value| value.as_str()));
    let created = service.starts.of(desc.since, &series.value);
    writer.series(identity, labels, &Sample::from(&series.value), created);
}

/// Leaves out the families that nobody asked for.
struct Selected<'a, W> {
    inner: &'a mut W,
    names: &'a [String],
    skips: bool,
}

impl<W> Selected<'_, W> {
    /// By its own name, or that of one of its lines: a part of a family says little.
    fn is_wanted(&self, family: &Family<'_>) -> bool {
        let is_of = |name: &String| {
            let Some(end) = name.strip_prefix(family.name) else {
                return family.name.strip_prefix(name.as_str()) == Some("_total");
            };
            match family.kind {
                Kind::Histogram => matches!(end, "" | "_bucket" | "_sum" | "_count" | "_created"),
                Kind::Summary => matches!(end, "" | "_sum" | "_count" | "_created"),
                _ => end.is_empty(),
            }
        };
        self.names.is_empty() || self.names.iter().any(is_of)
    }
}

impl<W: Writer> Writer for Selected<'_, W> {
    fn labels<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> Vec<u8> {
        self.inner.labels(labels)
    }

    fn begin(&mut self, family: &Family<'_>) {
        self.skips = !self.is_wanted(family);
        if !self.skips {
            self.inner.begin(family);
        }
    }

    fn series<'l>(
        &mut self,
        identity: &[u8],
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        sample: &Sample<'_>,
        created_ns: Option<u64>,
    ) {
        if !self.skips {
            self.inner.series(identity, labels, sample, created_ns);
        }
    }

    fn end(&mut self) {
        if !self.skips {
            self.inner.end();
        }
    }

    fn finish(&mut self) {
        self.inner.finish();
    }

    fn written(&mut self) -> &mut Vec<u8> {
        self.inner.written()
    }
}
