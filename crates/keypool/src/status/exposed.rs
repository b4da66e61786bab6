//! The gateway's own numbers, for the registry.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Unit,
};

use super::{
    histogram::Reading,
    store::{Standing, StoreHealth},
    traffic::{CLASSES, Counts, OUTCOMES, Traffic},
};

const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, u64>> = None;

/// What stands beside the pool's numbers.
#[derive(Debug)]
pub(super) struct Exposed {
    pub(super) traffic: std::sync::Arc<Traffic>,
    pub(super) store: StoreHealth,
}

impl Collector for Exposed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encoder
            .encode_descriptor("keypool_build", "This program.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        encoder
            .encode_descriptor(
                "keypool_store_up",
                "1: the store answers, or there is none to reach.",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&u32::from(self.store.standing() == Standing::Reachable))?;
        let counts = self.traffic.counts();
        gateway(&mut encoder, &counts)?;
        upstream(&mut encoder, &counts)
    }
}

fn gateway(encoder: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
    let mut requests = encoder.encode_descriptor(
        "keypool_gateway_requests",
        "Requests that ended, by how and by the class of their status (none: no answer).",
        None,
        MetricType::Counter,
    )?;
    for (outcome, classes) in OUTCOMES.iter().zip(&counts.requests) {
        for (class, count) in CLASSES.iter().zip(classes) {
            // Most pairs cannot be; those that were stay.
            if *count > 0 || (*outcome, *class) == ("answered", "2xx") {
                requests
                    .encode_family(&[("outcome", *outcome), ("status", *class)])?
                    .encode_counter(count, NO_EXEMPLAR)?;
            }
        }
    }
    encoder
        .encode_descriptor(
            "keypool_gateway_requests_in_flight",
            "Requests between their head and the end of their answer.",
            None,
            MetricType::Gauge,
        )?
        .encode_gauge(&counts.in_flight)?;
    let bytes = [
        ("keypool_gateway_request", "Bytes of requests' bodies that said how long they are.", &counts.request_bytes),
        (
            "keypool_gateway_response",
            "Bytes of answers' bodies that went out, counted at their end.",
            &counts.response_bytes,
        ),
    ];
    for (name, help, count) in bytes {
        encoder
            .encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Counter)?
            .encode_counter(count, NO_EXEMPLAR)?;
    }
    let help = "Time from a request's head to the end of its answer.";
    histogram(encoder, "keypool_gateway_request_duration", help, Some(&Unit::Seconds), &counts.duration)?;
    let help = "Attempts that a request took; 0: it never went out.";
    histogram(encoder, "keypool_gateway_request_attempts", help, None, &counts.attempts)
}

fn upstream(encoder: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
    let mut attempts = encoder.encode_descriptor(
        "keypool_upstream_attempts",
        "Attempts by the class of the provider's status (none: no answer).",
        None,
        MetricType::Counter,
    )?;
    for (class, count) in CLASSES.iter().zip(&counts.upstream) {
        attempts.encode_family(&[("status", *class)])?.encode_counter(count, NO_EXEMPLAR)?;
    }
    let help = "Time from an attempt's start to the head of the provider's answer.";
    histogram(encoder, "keypool_upstream_time_to_first_byte", help, Some(&Unit::Seconds), &counts.first_byte)?;
    let help = "Time from an attempt's start to the end of the provider's answer.";
    histogram(encoder, "keypool_upstream_duration", help, Some(&Unit::Seconds), &counts.upstream_duration)
}

fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: &Reading,
) -> fmt::Result {
    encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?.encode_histogram::<NoLabelSet>(
        values.sum,
        values.count,
        &values.buckets,
        None,
    )
}
