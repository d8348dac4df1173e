//! The agent beside a stock Envoy: what makes it a data plane of the mesh.
