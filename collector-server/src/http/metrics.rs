//! How long requests take, by class of route, and the text form that Prometheus reads.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tenken_shared::api::route;

use super::admin::API;

/// Upper bounds of the buckets with the text of each, seconds.
const BUCKETS: [(f64, &str); 13] = [
    (0.001, "0.001"),
    (0.0025, "0.0025"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
    (5.0, "5"),
    (10.0, "10"),
];

/// Classes of routes: few, so that nobody can make more by asking for odd addresses.
const CLASSES: [&str; 5] = ["report", "agent", "api", "console", "health"];

fn class(path: &str) -> usize {
    match path {
        route::REPORT => 0,
        route::ENROL | route::KEY | route::READMIT | route::PING => 1,
        "/healthz" | "/readyz" | "/metrics" => 4,
        _ if path.starts_with(API) => 2,
        _ => 3,
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// Not cumulative; the last counts what is above every bound.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum_us: AtomicU64,
}

/// Durations of requests since the start.
#[derive(Debug, Default)]
pub struct Latencies([Histogram; CLASSES.len()]);

impl Latencies {
    fn add(&self, class: usize, took: Duration) {
        let Some(histogram) = self.0.get(class) else { return };
        let seconds = took.as_secs_f64();
        let place = BUCKETS.iter().position(|(bound, _)| seconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(bucket) = histogram.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        histogram.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Writes the histograms.
    pub fn write(&self, out: &mut Exposition) {
        const NAME: &str = "tenken_http_request_duration_seconds";
        out.family(NAME, "histogram", "Time until the head of the answer, by class of route.");
        for (class, histogram) in CLASSES.iter().zip(&self.0) {
            let mut count = 0;
            let bounds = BUCKETS.iter().map(|(_, text)| *text).chain(["+Inf"]);
            for (bucket, bound) in histogram.buckets.iter().zip(bounds) {
                count += bucket.load(Ordering::Relaxed);
                out.sample("_bucket", &[("class", class), ("le", bound)], count);
            }
            let seconds = Duration::from_micros(histogram.sum_us.load(Ordering::Relaxed)).as_secs_f64();
            out.sample("_sum", &[("class", class)], seconds);
            out.sample("_count", &[("class", class)], count);
        }
    }
}

/// Measures every request.
pub async fn measure(State(latencies): State<Arc<Latencies>>, request: Request, next: Next) -> Response {
    let (class, start) = (class(request.uri().path()), Instant::now());
    let response = next.run(request).await;
    latencies.add(class, start.elapsed());
    response
}

/// Prometheus text, family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a family; its samples follow. `name` ends with its unit, and with `_total` where it counts.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One sample of the family; the values of labels are words of this program.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, text)| format!("{name}=\"{text}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{suffix}{labels} {value}", self.family);
    }

    /// A family of one gauge without labels.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample("", &[], value);
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Reads the text as strictly as the format is written down; answers samples by name and labels.
    pub(in crate::http) fn parse(text: &str) -> BTreeMap<String, f64> {
        let is_name = |name: &str| {
            let mut chars = name.chars();
            chars.next().is_some_and(|c| c.is_ascii_lowercase())
                && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        assert!(text.ends_with('\n'));
        let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
        let (mut family, mut kind) = ("", "");
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(families.insert(name), "{name} comes in two groups");
                assert!(is_name(name) && help.ends_with('.'), "{line}");
                let typed = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
                (family, kind) = typed.split_once(' ').unwrap();
                assert_eq!(family, name);
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{typed}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) =
                series.split_once('{').map_or((series, ""), |(n, l)| (n, l.strip_suffix('}').unwrap()));
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands under {family}"));
            match kind {
                "histogram" => assert!(matches!(suffix, "_bucket" | "_sum" | "_count"), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            for label in labels.split(',').filter(|l| !l.is_empty()) {
                let (name, text) = label.split_once('=').unwrap();
                let text = text.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                assert!(is_name(name) && !text.contains(['"', '\\', '\n']), "{line}");
            }
            let value: f64 = value.parse().unwrap();
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
        }
        samples
    }

    #[test]
    fn buckets_add_up_and_only_known_classes_are_counted() {
        let latencies = Latencies::default();
        for (path, ms) in
            [("/api/v1/hosts", 3), ("/api/v1/../odd", 30), ("/hosts", 99_000), (route::REPORT, 1)]
        {
            latencies.add(class(path), Duration::from_millis(ms));
        }
        let mut out = Exposition::default();
        latencies.write(&mut out);
        let samples = parse(&out.into_text());
        let of = |suffix: &str, labels: &str| {
            samples[&format!("tenken_http_request_duration_seconds{suffix}{{{labels}}}")]
        };
        assert_eq!(of("_bucket", "class=\"api\",le=\"0.0025\""), 0.0);
        assert_eq!(of("_bucket", "class=\"api\",le=\"0.005\""), 1.0);
        assert_eq!(of("_bucket", "class=\"api\",le=\"0.05\""), 2.0);
        assert_eq!(of("_sum", "class=\"api\""), 0.033);
        assert_eq!(of("_bucket", "class=\"console\",le=\"10\""), 0.0);
        assert_eq!(of("_bucket", "class=\"console\",le=\"+Inf\""), 1.0);
        for class in CLASSES {
            let labels = format!("class=\"{class}\"");
            assert_eq!(of("_count", &labels), of("_bucket", &format!("{labels},le=\"+Inf\"")));
        }
    }
}
