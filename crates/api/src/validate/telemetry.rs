//! Telemetry.

use super::attachment::attachment;
use super::{Validator, cel, syntax};
use crate::diagnostic::Code;
use crate::telemetry::{
    AccessLogging, LogFilter, MetricMatch, Metrics, MetricsOverrides, ProviderRef, TagOperation,
    TagOverride, Telemetry, TelemetryTracing, TracingTag, TracingTagSource,
};

pub(super) fn telemetry(v: &mut Validator, telemetry: &Telemetry) {
    let single = telemetry.target_ref.as_ref();
    attachment(v, telemetry.selector.as_ref(), single, &telemetry.target_refs);
    if telemetry.tracing.len() > 1 {
        v.field("tracing", |v| {
            v.warn(Code::NoEffect, "multiple tracing entries are not supported: the first counts");
        });
    }
    v.each("tracing", &telemetry.tracing, tracing);
    v.each("metrics", &telemetry.metrics, metrics);
    v.each("accessLogging", &telemetry.access_logging, access_logging);
}

fn tracing(v: &mut Validator, tracing: &TelemetryTracing) {
    providers(v, &tracing.providers);
    if tracing.providers.len() > 1 {
        v.field("providers", |v| {
            v.warn(Code::NoEffect, "multiple providers are not supported: the first counts");
        });
    }
    if let Some(percent) = tracing.random_sampling_percentage {
        v.check_field("randomSamplingPercentage", syntax::percent(percent));
    }
    v.each_key("customTags", &tracing.custom_tags, |v, name, tag| {
        if name.is_empty() {
            v.error(Code::BadValue, "the tag needs a name");
        }
        custom_tag(v, tag);
    });
}

fn custom_tag(v: &mut Validator, tag: &TracingTag) {
    let (kind, field, value) = match &tag.r#type {
        Some(TracingTagSource::Literal(it)) => ("literal", "value", &it.value),
        Some(TracingTagSource::Environment(it)) => ("environment", "name", &it.name),
        Some(TracingTagSource::Header(it)) => ("header", "name", &it.name),
        Some(TracingTagSource::Formatter(it)) => ("formatter", "value", &it.value),
        None => return,
    };
    if value.is_empty() {
        v.field(kind, |v| v.missing(field, format!("`{field}` is needed")));
    }
}

fn providers(v: &mut Validator, providers: &[ProviderRef]) {
    v.each("providers", providers, |v, provider| {
        if provider.name.is_empty() {
            v.missing("name", "the provider's name is needed");
        }
    });
}

fn metrics(v: &mut Validator, metrics: &Metrics) {
    providers(v, &metrics.providers);
    if let Some(interval) = metrics.reporting_interval {
        v.check_field("reportingInterval", syntax::duration(interval));
    }
    v.each("overrides", &metrics.overrides, metric_override);
}

fn metric_override(v: &mut Validator, metric: &MetricsOverrides) {
    let matched = metric.r#match.as_ref().and_then(|it| it.metric_match.as_ref());
    if matched.is_some_and(|it| matches!(it, MetricMatch::CustomMetric(name) if name.is_empty())) {
        v.field("match", |v| v.missing("customMetric", "the metric's name is needed"));
    }
    v.each_key("tagOverrides", &metric.tag_overrides, |v, name, tag| {
        if name.is_empty() {
            v.error(Code::BadValue, "the tag needs a name");
        }
        tag_override(v, tag);
    });
}

fn tag_override(v: &mut Validator, tag: &TagOverride) {
    match (tag.operation, tag.value.is_empty()) {
        (TagOperation::Upsert, true) => v.missing("value", "UPSERT needs a value"),
        (TagOperation::Remove, false) => v.conflict("value", "REMOVE takes no value"),
        (TagOperation::Upsert, false) | (TagOperation::Remove, true) => {}
    }
}

fn access_logging(v: &mut Validator, logging: &AccessLogging) {
    providers(v, &logging.providers);
    if let Some(LogFilter { expression }) = &logging.filter {
        v.field("filter", |v| v.check_field("expression", cel::check(expression)));
    }
}
