//! The curve as a picture: CPU and memory over the number of targets, both on logarithmic scales, where what grows
//! linearly is a straight line of the dashed line's slope.

use std::fmt::Write;

use crate::table::{Point, Source, count};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const MARGIN: f64 = 48.0;

const COLOURS: [(Source, &str, &str); 2] =
    [(Source::Logs, "#1f77b4", "logs"), (Source::Expvar, "#d95f02", "expvar every 15 s")];

/// One of the two plots.
struct Plot {
    title: &'static str,
    left: f64,
    /// Powers of ten.
    x: (f64, f64),
    y: (f64, f64),
    value: fn(&Point) -> f64,
}

/// The picture.
pub(crate) fn svg(points: &[Point]) -> String {
    let (width, height) = (2.0 * WIDTH, HEIGHT + 24.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let x = (1.0, 4.0);
    let cpu: fn(&Point) -> f64 = |point| point.whole_share() * 100.0;
    let title = "CPU, % of a core, with a scrape every 15 s";
    Plot { title, left: 0.0, x, y: (-2.0, 2.0), value: cpu }.draw(points, &mut out);
    let title = "Memory at most, MiB";
    Plot { title, left: WIDTH, x, y: (0.0, 4.0), value: Point::most_mib }.draw(points, &mut out);
    for (n, (_, colour, name)) in (0_u8..).zip(COLOURS) {
        let (at, line) = (MARGIN + 120.0 * f64::from(n), HEIGHT + 12.0);
        writeln(
            &mut out,
            format_args!(
                "<rect x=\"{at}\" y=\"{line}\" width=\"10\" height=\"4\" fill=\"{colour}\"/>"
            ),
        );
        writeln(
            &mut out,
            format_args!("<text x=\"{}\" y=\"{}\">{name}</text>", at + 14.0, line + 6.0),
        );
    }
    out.push_str("</svg>\n");
    out
}

impl Plot {
    fn draw(&self, points: &[Point], out: &mut String) {
        writeln(
            out,
            format_args!(
                "<text x=\"{}\" y=\"16\" font-weight=\"bold\">{}</text>",
                self.left + MARGIN,
                self.title
            ),
        );
        self.grid(out);
        for (source, colour, _) in COLOURS {
            let of = points.iter().filter(|point| point.source == source);
            let places: Vec<(f64, f64)> =
                of.map(|point| self.place(count(point.targets), (self.value)(point))).collect();
            let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            writeln(
                out,
                format_args!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                    line.join(" ")
                ),
            );
            for (x, y) in places {
                writeln(
                    out,
                    format_args!(
                        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"
                    ),
                );
            }
        }
    }

    fn grid(&self, out: &mut String) {
        for power in powers(self.x) {
            let ((x, y), (_, top)) = (self.at(power, self.y.0), self.at(power, self.y.1));
            writeln(
                out,
                format_args!(
                    "<line x1=\"{x}\" y1=\"{y}\" x2=\"{x}\" y2=\"{top}\" stroke=\"#ddd\"/>"
                ),
            );
            writeln(
                out,
                format_args!(
                    "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    y + 14.0,
                    10_f64.powf(power)
                ),
            );
        }
        for power in powers(self.y) {
            let ((x, y), (right, _)) = (self.at(self.x.0, power), self.at(self.x.1, power));
            writeln(
                out,
                format_args!(
                    "<line x1=\"{x}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" stroke=\"#ddd\"/>"
                ),
            );
            writeln(
                out,
                format_args!(
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                    x - 4.0,
                    y + 4.0,
                    10_f64.powf(power)
                ),
            );
        }
        // What grows tenfold with ten times the targets.
        let ((x1, y1), (x2, y2)) =
            (self.at(self.x.0, self.y.0), self.at(self.x.1, self.y.0 + self.x.1 - self.x.0));
        writeln(
            out,
            format_args!(
                "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"#999\" stroke-dasharray=\"4 3\"/>"
            ),
        );
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        self.at(x.log10(), y.max(10_f64.powf(self.y.0)).log10())
    }

    /// Of two powers of ten.
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        (
            self.left + MARGIN + across * (WIDTH - MARGIN - 24.0),
            HEIGHT - MARGIN / 2.0 - up * (HEIGHT - MARGIN),
        )
    }
}

fn powers((from, to): (f64, f64)) -> impl Iterator<Item = f64> {
    (0..=4_u8).map(move |n| from + f64::from(n)).filter(move |power| *power <= to)
}

/// Writing to a String cannot fail.
fn writeln(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _never = std::writeln!(out, "{line}");
}
