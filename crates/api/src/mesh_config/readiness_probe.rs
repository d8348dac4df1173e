//! How the readiness of a workload behind a proxy is found out: as Kubernetes' probes.

use crate::message::{message, oneof};

message! {
    /// A probe and how often it is made.
    pub struct ReadinessProbe {
        /// Seconds before the first one.
        initial_delay_seconds: i32, pending, Minimum(0);
        /// Seconds that one may take. The default is 1.
        timeout_seconds: i32, pending, Minimum(0);
        /// Seconds from one to the next. The default is 10.
        period_seconds: i32, pending, Minimum(0);
        /// Successes after which the workload is ready. The default is 1.
        success_threshold: i32, pending, Minimum(0);
        /// Failures after which it no longer is. The default is 3.
        failure_threshold: i32, pending, Minimum(0);
        /// What is tried.
        health_check_method: Option<HealthCheckMethod>, oneof;
    }

    /// An HTTP request.
    pub struct HttpHealthCheck {
        /// The path. The default is `/`.
        path: String, pending;
        /// The port.
        port: u32, pending, Required, Port;
        /// The host. The default is the workload's address.
        host: String, pending;
        /// `HTTP` or `HTTPS`.
        scheme: String, pending,
            Holds("self in ['', 'HTTP', 'HTTPS']", "scheme must be one of [HTTP, HTTPS]");
        /// Headers of the request.
        http_headers: Vec<HealthCheckHeader>, pending;
    }

    /// A header.
    pub struct HealthCheckHeader {
        /// The name.
        name: String, pending, Pattern("^[-_A-Za-z0-9]+$");
        /// The value.
        value: String, pending;
    }

    /// A connection.
    pub struct TcpHealthCheck {
        /// The host. The default is `localhost`.
        host: String, pending;
        /// The port.
        port: u32, pending, Required, Port;
    }

    /// A command.
    pub struct ExecHealthCheck {
        /// The command and its arguments.
        command: Vec<String>, pending, Required, Each(&[MinLength(1)]);
    }

    /// A call of gRPC's health service.
    pub struct GrpcHealthCheck {
        /// The port.
        port: u32, pending, Port;
        /// The service that is asked about.
        service: String, pending;
    }
}

oneof! {
    /// What a probe tries.
    pub enum HealthCheckMethod {
        /// An HTTP request.
        HttpGet(HttpHealthCheck) = http_get, pending;
        /// A connection.
        TcpSocket(TcpHealthCheck) = tcp_socket, pending;
        /// A command.
        Exec(ExecHealthCheck) = exec, pending;
        /// A call of gRPC's health service.
        Grpc(GrpcHealthCheck) = grpc, pending;
    }
}
