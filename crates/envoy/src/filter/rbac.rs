//! Authorization policies as RBAC.
