//! Metrics of the process, as Prometheus' client libraries name them.

use std::fmt::Write as _;
use std::fs;

/// Writes what the system says of this process; what cannot be read is left out.
pub(super) fn write(out: &mut String) {
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        out,
        "# HELP istio_build The proxy's version.\n# TYPE istio_build gauge\n\
         istio_build{{component=\"proxy\",tag=\"{version}\"}} 1"
    );
    let mut metric = |name: &str, help: &str, kind: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    metric("process_cpu_seconds_total", "User and system time.", "counter", Some(cpu_seconds()));
    metric(
        "process_resident_memory_bytes",
        "Resident memory.",
        "gauge",
        field(&status, "VmRSS:").map(|kib| kib * 1024.0),
    );
    metric(
        "process_virtual_memory_bytes",
        "Virtual memory.",
        "gauge",
        field(&status, "VmSize:").map(|kib| kib * 1024.0),
    );
    metric("process_threads", "Threads.", "gauge", field(&status, "Threads:"));
    #[expect(clippy::cast_precision_loss, reason = "a number of files is far below 2^52")]
    let files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    metric("process_open_fds", "Open file descriptors.", "gauge", files);
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of processor time are below 2^52")]
    let (seconds, nanoseconds) = (time.tv_sec as f64, time.tv_nsec as f64);
    seconds + nanoseconds / 1e9
}

/// The number behind `name` in `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
