//! What all workers share about an endpoint.
