//! `docs/reasons.md`, generated from the registry.

use std::fmt::Write as _;

use super::Reason;

const HEAD: &str = "\
# Reasons

Every answer that a proxy makes by itself, and every exchange or connection that ends badly, has one
stable reason code. It stands in the JSON access log (`reason`, next to `decided_by`, the object that
decided), in the header `x-lateen-reason` for authenticated peers of the mesh, and in the proxy's ring
of last failures (`/failures` on its admin port).

- *Side*: who has to act. `downstream`: the client; `upstream`: the destination or the network to it;
  `mesh`: the proxies, the control plane, the certificates; `policy`: it is as somebody configured it.
- *Reached*: whether the application may have seen the request, so whether it is safe to send it again.
- *Answer*: HTTP status, and Envoy's response flag and response code details as the access log shows
  them. `-` for a status: nothing is answered, the connection or the stream ends.

This page is generated from the registry in `crates/proxy/src/telemetry/reason/registry.rs`; a test
fails when it differs.
";

/// The text of `docs/reasons.md`.
#[must_use]
pub fn document() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| code | side | reached | answer |\n| --- | --- | --- | --- |\n");
    for reason in Reason::ALL {
        let facts = reason.facts();
        let status = facts.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let _ = writeln!(
            page,
            "| [`{code}`](#{code}) | {} | {} | {status} `{}` `{}` |",
            facts.side.name(),
            facts.reached.name(),
            facts.flags,
            reason.details(None),
            code = facts.code,
        );
    }
    for reason in Reason::ALL {
        let facts = reason.facts();
        let _ = write!(
            page,
            "\n## {}\n\n{} {}\n",
            facts.code,
            facts.meaning.trim(),
            facts.advice.trim()
        );
        let body = reason.body(false);
        if !body.is_empty() {
            let _ = write!(page, "\nBody: `{body}`\n");
        }
    }
    page
}
