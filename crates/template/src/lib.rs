//! The template language of Go (`text/template`), as far as charts and injection templates need it.
//!
//! ```
//! use lateen_template::Template;
//!
//! let template = Template::parse("greeting", "{{ range .names }}Hello, {{ . | quote }}!{{ end }}")?;
//! let text = template.render("greeting", &serde_json::json!({"names": ["world"]}))?;
//! assert_eq!(text, "Hello, \"world\"!");
//! # Ok::<(), lateen_template::Error>(())
//! ```
//!
//! - [`Template`]: a set of templates that can call each other, over a `serde_json::Value`.
//! - [`Functions`]: what they may call: Go's, those of charts (Helm's and sprig's), and the caller's.
//! - [`Error`]: what is wrong, with template, line and column.
//! - [`value`]: Go's truth and text of values.
//!
//! Rendering is pure and bounded in depth, steps and output. It differs from Go where Go's values are
//! not JSON's: numbers compare by value whatever their type, maps and lists are not shared (`set`
//! changes a variable, and nothing else), values have no methods, and `printf` refuses what does not fit
//! its verb.

mod error;
mod functions;
mod parse;
mod render;
mod template;
mod token;
mod tree;
pub mod value;

pub use error::{Error, Position};
pub use functions::{Functions, Implementation};
pub use template::{Missing, Template};
