//! What a client asks for by `Accept` and `Accept-Encoding`.

use crate::model::exposition::{Coding, Escaping, Format};

/// Most choices of a header that are looked at.
const CHOICES_MAX: usize = 64;

/// The form that `accept` likes most, and how names are escaped. Nothing that we have: the text that
/// every client takes.
#[must_use]
pub fn format(accept: &str) -> (Format, Option<Escaping>) {
    let mut best = (0, Format::Text, None);
    for choice in choices(accept) {
        let Some(format) = format_of(&choice).filter(|_| choice.quality > best.0) else { continue };
        best = (choice.quality, format, escaping(&choice));
    }
    (best.1, best.2)
}

/// What to send as Content-Type.
#[must_use]
pub fn content_type(format: Format, escaping: Option<Escaping>) -> String {
    let kind = match format {
        Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        Format::Text1 => "text/plain; version=1.0.0; charset=utf-8",
        Format::OpenMetrics0 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        Format::Protobuf => {
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        }
    };
    match escaping {
        Some(escaping) => format!("{kind}; escaping={}", escaping.as_str()),
        None => kind.to_owned(),
    }
}

/// The compression that `accept_encoding` likes most; zstd before gzip before none where it has no
/// preference.
#[must_use]
pub fn coding(accept_encoding: &str) -> Coding {
    let choices: Vec<Choice<'_>> = choices(accept_encoding).collect();
    let quality = |name: &str, otherwise: u32| {
        let named = choices.iter().find(|choice| choice.kind.eq_ignore_ascii_case(name));
        let any = || choices.iter().find(|choice| choice.kind == "*");
        named.or_else(any).map_or(otherwise, |choice| choice.quality)
    };
    // Later ones win.
    let all =
        [(Coding::Identity, "identity", 1), (Coding::Gzip, "gzip", 0), (Coding::Zstd, "zstd", 0)];
    let wanted = all.map(|(coding, name, otherwise)| (quality(name, otherwise), coding));
    let best =
        wanted.into_iter().filter(|(quality, _)| *quality > 0).max_by_key(|(quality, _)| *quality);
    best.map_or(Coding::Identity, |(_, coding)| coding)
}

/// One of a header's alternatives.
struct Choice<'a> {
    kind: &'a str,
    parameters: &'a str,
    /// In thousandths.
    quality: u32,
}

impl<'a> Choice<'a> {
    fn parameter(&self, wanted: &str) -> Option<&'a str> {
        parameters(self.parameters)
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value)
    }
}

fn choices(header: &str) -> impl Iterator<Item = Choice<'_>> {
    header.split(',').take(CHOICES_MAX).map(|choice| {
        let (kind, rest) = choice.split_once(';').unwrap_or((choice, ""));
        let q = parameters(rest).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        Choice { kind: kind.trim(), parameters: rest, quality: q.map_or(1000, |(_, q)| quality(q)) }
    })
}

fn parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches('"')))
    })
}

/// In thousandths; what is no quality is one that nobody wants.
fn quality(text: &str) -> u32 {
    let quality: f64 = text.parse().unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    if (0.0..=1.0).contains(&quality) { (quality * 1000.0).round() as u32 } else { 0 }
}

fn format_of(choice: &Choice<'_>) -> Option<Format> {
    let version = choice.parameter("version");
    match (choice.kind.to_ascii_lowercase().as_str(), version) {
        ("application/openmetrics-text", Some("1.0.0")) => Some(Format::OpenMetrics),
        ("application/openmetrics-text", Some("0.0.1") | None) => Some(Format::OpenMetrics0),
        ("application/vnd.google.protobuf", _) => {
            let ours = choice.parameter("proto") == Some("io.prometheus.client.MetricFamily")
                && choice.parameter("encoding") == Some("delimited");
            ours.then_some(Format::Protobuf)
        }
        ("text/plain", Some("1.0.0")) => Some(Format::Text1),
        ("text/plain", Some("0.0.4") | None) | ("text/*" | "*/*", _) => Some(Format::Text),
        _ => None,
    }
}

fn escaping(choice: &Choice<'_>) -> Option<Escaping> {
    let all = [Escaping::Underscores, Escaping::Dots, Escaping::Values, Escaping::AllowUtf8];
    let word = choice.parameter("escaping")?;
    all.into_iter().find(|escaping| escaping.as_str() == word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const PROMETHEUS_2_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    const BROWSER: &str =
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

    #[test]
    fn the_form_liked_most_is_chosen() {
        use Escaping::{AllowUtf8, Dots};
        for (accept, format_expected, escaping) in [
            ("", Format::Text, None),
            ("*/*", Format::Text, None),
            (BROWSER, Format::Text, None),
            ("image/png", Format::Text, None),
            (PROMETHEUS_2, Format::OpenMetrics, None),
            (PROMETHEUS_2_NATIVE, Format::Protobuf, None),
            (PROMETHEUS_3, Format::OpenMetrics, Some(AllowUtf8)),
            ("text/plain;version=1.0.0;escaping=dots", Format::Text1, Some(Dots)),
            ("application/openmetrics-text;q=0, text/plain;q=0.1", Format::Text, None),
            (
                "text/plain;q=0.4, application/openmetrics-text ; version=0.0.1 ; q=0.5",
                Format::OpenMetrics0,
                None,
            ),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", Format::OpenMetrics, None),
            ("application/openmetrics-text;version=9", Format::Text, None),
            ("application/vnd.google.protobuf", Format::Text, None),
            ("application/openmetrics-text;version=1.0.0;q=2, text/plain", Format::Text, None),
            ("text/plain;escaping=nonsense", Format::Text, None),
        ] {
            assert_eq!(format(accept), (format_expected, escaping), "{accept}");
        }
    }

    #[test]
    fn the_compression_liked_most_is_chosen() {
        for (accept, expected) in [
            ("", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("gzip;q=1, zstd;q=0.5", Coding::Gzip),
            ("*", Coding::Zstd),
            ("gzip;q=0, *", Coding::Zstd),
            ("gzip;q=0", Coding::Identity),
            ("identity;q=1, gzip;q=0.5", Coding::Identity),
            ("deflate, br", Coding::Identity),
            ("GZIP;q=0.001", Coding::Gzip),
            ("*;q=0", Coding::Identity),
        ] {
            assert_eq!(coding(accept), expected, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(header in ".{0,200}") {
            let (kind, escaping) = format(&header);
            prop_assert!(content_type(kind, escaping).is_ascii());
            prop_assert!(header.contains("zstd") || header.contains('*') || coding(&header) != Coding::Zstd);
        }
    }
}
