//! The same traffic through both data planes, compared.
