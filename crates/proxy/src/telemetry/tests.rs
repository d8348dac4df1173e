use std::time::{Duration, Instant};

use super::*;
use crate::telemetry::sample::{call, denied, facts, headers, http, own};

fn telemetry(file: &std::path::Path, options: Options) -> Arc<Telemetry> {
    let telemetry = Telemetry::new(options).unwrap();
    let access_log =
        v1::AccessLog { file: file.to_str().unwrap().to_owned(), ..v1::AccessLog::default() };
    let problems = telemetry.configure(own("front", "v2"), &access_log);
    assert!(problems.is_empty(), "{problems:?}");
    telemetry
}

/// Waits for a condition, a few seconds at most.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::yield_now();
    }
}

fn lines(file: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn an_exchange_is_counted_logged_and_kept_if_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let telemetry = telemetry(&file, Options::default());
    let shard = telemetry.shard();
    let facts = facts(Direction::Inbound, Some(sample::CALLER));
    for exchange in [call(&facts), denied(&facts)] {
        let mut captured = shard.capture();
        captured.request(&headers(&[("user-agent", "curl/8.5.0")]));
        shard.finish_http(&http(exchange, &captured));
    }
    let meter = shard.open_tcp(&call(&facts));
    meter.sent(3);
    shard.finish_tcp(&call(&facts));
    drop(meter);
    shard.flush();
    telemetry.stop();

    let lines = lines(&file);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains(" 200 - via_upstream ") && lines[0].contains("\"curl/8.5.0\""));
    assert!(lines[1].contains(" 403 "));
    assert!(lines[2].contains("\"- - -\" 0 "));

    let failures = telemetry.failures();
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!(failure.reason, "authorization_denied");
    assert_eq!(failure.decided_by.as_ref().unwrap().name, "no-admin");
    assert_eq!(failure.request.as_ref().unwrap().path, "/reviews/1?all=true");
    assert_eq!(failure.downstream_principal.as_deref(), Some(sample::CALLER));

    let metrics: String = telemetry.expose().collect();
    for expected in [
        "lateen_reasons_total{reason=\"authorization_denied\",side=\"policy\"} 1\n",
        "lateen_access_log_lines_total 3\n",
        "lateen_access_log_lost_total 0\n",
        "istio_build{component=\"proxy\",tag=",
        "process_cpu_seconds_total ",
    ] {
        assert!(metrics.contains(expected), "no {expected} in\n{metrics}");
    }
}

#[test]
fn without_an_access_log_nothing_is_kept_for_it() {
    let telemetry = Telemetry::new(Options::default()).unwrap();
    let shard = telemetry.shard();
    let facts = facts(Direction::Inbound, None);
    let captured = shard.capture();
    shard.finish_http(&http(call(&facts), &captured));
    shard.flush();
    telemetry.stop();
    let metrics: String = telemetry.expose().collect();
    assert!(metrics.contains("lateen_access_log_lines_total 0\n"));
}

#[test]
fn a_change_of_the_access_log_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let telemetry = telemetry(&first, Options::default());
    let shard = telemetry.shard();
    let facts = facts(Direction::Inbound, None);
    let before = shard.capture();
    let access_log = v1::AccessLog {
        file: second.to_str().unwrap().to_owned(),
        encoding: v1::access_log::Encoding::Json.into(),
        ..v1::AccessLog::default()
    };
    telemetry.configure(own("front", "v2"), &access_log);
    let after = shard.capture();
    // One exchange spans the change, the next begins after it.
    shard.finish_http(&http(call(&facts), &after));
    shard.finish_http(&http(call(&facts), &before));
    shard.finish_http(&http(call(&facts), &after));
    shard.flush();
    telemetry.stop();
    assert_eq!(lines(&first).len(), 1);
    let second = lines(&second);
    assert_eq!(second.len(), 2);
    assert!(second.iter().all(|line| line.starts_with('{')));
}

#[test]
fn full_buffers_are_handed_over_without_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let telemetry = telemetry(&file, Options { flush_bytes: 1000, ..Options::default() });
    let shard = telemetry.shard();
    let facts = facts(Direction::Inbound, None);
    for _ in 0..10 {
        shard.finish_http(&http(call(&facts), &shard.capture()));
    }
    eventually("the first lines are written", || !lines(&file).is_empty());
    telemetry.stop();
}

#[tokio::test(start_paused = true)]
async fn lines_wait_a_second_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let telemetry = telemetry(&file, Options::default());
    let local = tokio::task::LocalSet::new();
    let shard = telemetry.shard();
    local.spawn_local(Rc::clone(&shard).maintain());
    local
        .run_until(async {
            let facts = facts(Direction::Inbound, None);
            shard.finish_http(&http(call(&facts), &shard.capture()));
            tokio::time::sleep(Duration::from_millis(900)).await;
            assert_eq!(lines(&file), [""; 0], "handed over too early");
            tokio::time::sleep(Duration::from_millis(200)).await;
        })
        .await;
    telemetry.stop();
    assert_eq!(lines(&file).len(), 1);
}

#[test]
fn the_ring_keeps_the_last_failures_of_all_workers() {
    let telemetry = Telemetry::new(Options::default()).unwrap();
    let shards = [telemetry.shard(), telemetry.shard()];
    let facts = facts(Direction::Inbound, None);
    for number in 0..400_u64 {
        let exchange =
            Exchange { start: sample::start() + Duration::from_secs(number), ..denied(&facts) };
        let shard = &shards[usize::from(number % 2 == 1)];
        let captured = shard.capture();
        shard.finish_http(&http(exchange, &captured));
    }
    let failures = telemetry.failures();
    assert_eq!(failures.len(), 256);
    assert!(failures.is_sorted_by_key(|failure| failure.start_time.clone()));
    assert_eq!(failures[255].start_time, "2026-02-03T04:11:45.789Z");
    telemetry.stop();
}

#[test]
fn lost_lines_are_counted() {
    let telemetry = telemetry(std::path::Path::new("/no/such/folder/log"), Options::default());
    let shard = telemetry.shard();
    let facts = facts(Direction::Inbound, None);
    for _ in 0..3 {
        shard.finish_http(&http(call(&facts), &shard.capture()));
    }
    shard.flush();
    telemetry.stop();
    let metrics: String = telemetry.expose().collect();
    assert!(metrics.contains("lateen_access_log_lost_total 3\n"));
    assert!(metrics.contains("lateen_access_log_lines_total 0\n"));
}

#[test]
fn rotated_files_are_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let rotated = folder.path().join("access.log.1");
    let telemetry = telemetry(&file, Options::default());
    let shard = telemetry.shard();
    let facts = facts(Direction::Inbound, None);
    shard.finish_http(&http(call(&facts), &shard.capture()));
    shard.flush();
    eventually("the first line is written", || lines(&file).len() == 1);
    std::fs::rename(&file, &rotated).unwrap();
    assert!(telemetry.reopen_access_log());
    shard.finish_http(&http(call(&facts), &shard.capture()));
    shard.flush();
    telemetry.stop();
    assert_eq!((lines(&rotated).len(), lines(&file).len()), (1, 1));
}
