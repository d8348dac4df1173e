//! Starting and stopping a proxy.
