//! A whole page: the services' families, their own variables, and ours, in the form that was asked
//! for.
//!
//! Services come one after the other, and a page has one family after the other. So what a service says is
//! written at once, each family into a buffer of its own, and its snapshot is not kept: it is larger than
//! what is written of it.

use prometheus::proto::MetricFamily;

use super::family::{self, Family, Sample, Writer};
use super::protobuf::Protobuf;
use super::text::Text;
use super::{own, variables};
use crate::model::exposition::{Exposition, Format, Wanted};
use crate::model::metric::{Desc, Kind, NameSet};
use crate::model::snapshot::{Series, ServiceSnapshot};

/// A page that is being made.
#[derive(Debug)]
pub struct Draft<'a>(Form<'a>);

#[derive(Debug)]
enum Form<'a> {
    Text(Page<'a, Text>),
    Protobuf(Page<'a, Protobuf>),
}

#[derive(Debug)]
struct Page<'a, W: Writer> {
    wanted: &'a Wanted,
    writer: W,
    services: Services<W::Head>,
    /// Our families.
    own: Vec<Vec<u8>>,
}

/// The families of the catalogue.
#[derive(Debug)]
pub(super) struct Services<H> {
    catalog: &'static [Desc],
    families: Vec<Part<H>>,
    /// So many services are still to come.
    expected: usize,
}

/// A family as far as it is written.
#[derive(Debug)]
struct Part<H> {
    family: Family<'static>,
    head: H,
    series: Vec<u8>,
    is_wanted: bool,
}

impl<'a> Draft<'a> {
    /// Of about so many services, whose metrics are those of `catalog`.
    #[must_use]
    pub fn new(
        catalog: &'static [Desc],
        exposition: Exposition,
        wanted: &'a Wanted,
        services: usize,
    ) -> Self {
        let escaping = wanted.escaping.unwrap_or_default();
        let of = Of { catalog, names: exposition.names, services };
        Self(match wanted.format {
            Format::Text | Format::Text1 => {
                Form::Text(Page::new(Text::prometheus(escaping), wanted, &of))
            }
            Format::OpenMetrics | Format::OpenMetrics0 => {
                let writer = Text::open_metrics(escaping, exposition.created);
                Form::Text(Page::new(writer, wanted, &of))
            }
            Format::Protobuf => {
                let writer = Protobuf::new(escaping, exposition.classic_histograms);
                Form::Protobuf(Page::new(writer, wanted, &of))
            }
        })
    }

    /// Writes the series of a service, without its own variables.
    pub fn service(&mut self, service: &ServiceSnapshot) {
        match &mut self.0 {
            Form::Text(page) => page.services.add(service, &mut page.writer),
            Form::Protobuf(page) => page.services.add(service, &mut page.writer),
        }
    }

    /// Writes the exporter's own families.
    pub fn own(&mut self, families: impl Iterator<Item = MetricFamily>) {
        match &mut self.0 {
            Form::Text(page) => own::write(&mut page.own, families, page.wanted, &mut page.writer),
            Form::Protobuf(page) => {
                own::write(&mut page.own, families, page.wanted, &mut page.writer);
            }
        }
    }

    /// Puts everything together, and the variables of these services. What was written is offered to `take` now and
    /// then, and what that leaves is given at the end.
    #[must_use]
    pub fn finish(
        self,
        services: &[ServiceSnapshot],
        take: &mut impl FnMut(&mut Vec<u8>),
    ) -> Vec<u8> {
        match self.0 {
            Form::Text(page) => page.finish(services, take),
            Form::Protobuf(page) => page.finish(services, take),
        }
    }
}

/// What a page is of.
struct Of {
    catalog: &'static [Desc],
    names: NameSet,
    services: usize,
}

impl<'a, W: Writer> Page<'a, W> {
    fn new(writer: W, wanted: &'a Wanted, of: &Of) -> Self {
        let services = Services::new(of.catalog, of.names, &wanted.names, of.services, &writer);
        Self { wanted, writer, services, own: Vec::new() }
    }

    fn finish(
        mut self,
        services: &[ServiceSnapshot],
        take: &mut impl FnMut(&mut Vec<u8>),
    ) -> Vec<u8> {
        let mut out = Vec::new();
        self.services.finish(&mut out, &self.writer, take);
        variables::write(&mut out, services, &self.wanted.names, &mut self.writer, take);
        for mut family in self.own {
            out.append(&mut family);
            take(&mut out);
        }
        self.writer.finish(&mut out);
        out
    }
}

impl<H> Services<H> {
    pub(super) fn new(
        catalog: &'static [Desc],
        names: NameSet,
        wanted: &[String],
        expected: usize,
        writer: &impl Writer<Head = H>,
    ) -> Self {
        let part = |desc| {
            let family = described(desc, catalog, names);
            let (head, is_wanted) = (writer.head(&family), family.is_wanted(wanted));
            Part { family, head, series: Vec::new(), is_wanted }
        };
        Self { catalog, families: catalog.iter().map(part).collect(), expected }
    }

    /// Writes the series of one more service.
    pub(super) fn add(&mut self, service: &ServiceSnapshot, writer: &mut impl Writer<Head = H>) {
        let identity = writer.labels(family::identity(&service.identity));
        for series in &service.series {
            let id = usize::from(series.metric.0);
            let Some((desc, part)) = self.catalog.get(id).zip(self.families.get_mut(id)) else {
                continue;
            };
            if part.is_wanted {
                write(writer, part, desc, service, &identity, series);
            }
        }
        // The others are like the first.
        let others = self.expected.saturating_sub(1);
        self.expected = 0;
        for part in self.families.iter_mut().filter(|_| others > 0) {
            part.series.reserve_exact(part.series.len() * others);
        }
    }

    /// Writes every family that has a series.
    pub(super) fn finish(
        self,
        out: &mut Vec<u8>,
        writer: &impl Writer<Head = H>,
        take: &mut impl FnMut(&mut Vec<u8>),
    ) {
        for mut part in self.families {
            if !part.series.is_empty() {
                writer.family(out, &part.family, &part.head, &mut part.series);
                take(out);
            }
        }
    }
}

fn described(desc: &Desc, catalog: &[Desc], names: NameSet) -> Family<'static> {
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

fn write<W: Writer>(
    writer: &mut W,
    part: &mut Part<W::Head>,
    desc: &Desc,
    service: &ServiceSnapshot,
    identity: &[u8],
    series: &Series,
) {
    let names = desc.labels.iter().copied().chain(service.more_labels.iter().map(|name| &**name));
    let labels = names.zip(series.labels.iter().map(|value| value.as_str()));
    let created = service.starts.of(desc.since, &series.value);
    let sample = Sample::from(&series.value);
    writer.series(&mut part.series, &part.head, identity, labels, &sample, created);
}
