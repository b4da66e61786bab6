//! A strict reader of what `/-/metrics` says.

use std::collections::{BTreeMap, BTreeSet};

use http::Request;

use crate::support::{Served, ask};

/// A sample's labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// A scrape.
#[derive(Debug)]
pub(crate) struct Exposition {
    pub(crate) text: String,
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

impl Exposition {
    /// Scrapes a gateway.
    pub(crate) async fn of(served: &Served) -> Self {
        let accepted = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";
        let answer = ask(Request::get(served.url("/-/metrics")).header("accept", accepted), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
        Self::read(String::from_utf8(answer.body.to_vec()).unwrap())
    }

    /// The same as whoever takes no `OpenMetrics` is told it: the same samples under families of their own names.
    pub(crate) async fn plain(served: &Served) -> String {
        let answer = ask(Request::get(served.url("/-/metrics")).header("accept", "*/*"), "").await;
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let mut family = ("", "");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split_once(' ').unwrap();
            } else if !line.starts_with("# HELP ") {
                let suffix = sample(line).0.strip_prefix(family.0).map(str::to_owned);
                let suffix = suffix.unwrap_or_else(|| panic!("{line} stands under {family:?}"));
                let fits = match family.1 {
                    "counter" | "gauge" => suffix.is_empty(),
                    "histogram" => ["_sum", "_count", "_bucket"].contains(&&*suffix),
                    _ => false,
                };
                assert!(fits, "{line} is no {family:?}");
            }
        }
        text
    }

    /// Reads it: each family with HELP and TYPE in front of its samples, no series twice, its end at the end.
    pub(crate) fn read(text: String) -> Self {
        let (mut samples, mut seen, mut families) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let (mut helped, mut family, mut kind) = ("", "", "");
        let body = text.strip_suffix("# EOF\n").expect("an end");
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.ends_with('.'), "{line}");
                helped = name;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                (family, kind) = rest.split_once(' ').unwrap();
                assert_eq!(family, helped);
                assert!(families.insert(family), "{family} comes twice");
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').unwrap();
                assert!(name == family && family.ends_with(&format!("_{unit}")), "{line}");
            } else {
                assert!(seen.insert(line.rsplit_once(' ').unwrap().0), "{line} comes twice");
                let (name, labels, value) = sample(line);
                let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands under {family}"));
                let fits = match kind {
                    "counter" => suffix == "_total",
                    "info" => suffix == "_info",
                    "gauge" => suffix.is_empty(),
                    "histogram" => ["_sum", "_count", "_bucket"].contains(&suffix),
                    _ => false,
                };
                assert!(fits, "{line} is no {kind}");
                samples.push((name, labels, value));
            }
        }
        Self { text, samples }
    }

    /// The value of the one series with this name and, among others, these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<f64> = self.find(name, labels).map(|(_, value)| value).collect();
        let [value] = found[..] else { panic!("{} of {name} {labels:?} in\n{}", found.len(), self.text) };
        value
    }

    /// Every series with this name and, among others, these labels.
    pub(crate) fn find<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = (&'a Labels, f64)> {
        let fits =
            move |held: &Labels| labels.iter().all(|(label, value)| held.get(*label).is_some_and(|it| it == value));
        self.samples
            .iter()
            .filter(move |(named, held, _)| named == name && fits(held))
            .map(|(_, held, value)| (held, *value))
    }
}

fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut held = Labels::new();
    let mut rest = labels.strip_suffix('}').unwrap();
    while !rest.is_empty() {
        let (label, value) = rest.split_once("=\"").unwrap();
        // No label of ours has an escaped quote in it.
        let (value, after) = value.split_once('"').unwrap();
        held.insert(label.to_owned(), value.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    (name.to_owned(), held, value.parse().unwrap())
}
