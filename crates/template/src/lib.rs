//! The template language of Go (`text/template`), as far as charts and injection templates need it.
