//! Sidecar injection: whether a pod is injected, and what the injected pod is.
