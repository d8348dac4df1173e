//! What all listeners share: the HTTP connection manager, the TCP proxy, access logs, policies.

mod access_log;
mod http_connection_manager;
mod rbac;
mod tcp_proxy;
