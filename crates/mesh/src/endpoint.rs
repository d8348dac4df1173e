//! Endpoints in a slice, and what they have in common.

use std::borrow::Cow;

use crate::v1::{Endpoint, EndpointSlice, EndpointTemplate};

impl EndpointSlice {
    /// What one of the endpoints has in common with others, with its own name where nothing owns it;
    /// `None`: the slice has no such template.
    #[must_use]
    pub fn template<'s>(&'s self, endpoint: &Endpoint) -> Option<Cow<'s, EndpointTemplate>> {
        let template = self.templates.get(usize::try_from(endpoint.template).ok()?)?;
        if !template.unowned {
            return Some(Cow::Borrowed(template));
        }
        let mut own = template.clone();
        endpoint.name().clone_into(&mut own.workload);
        if own.canonical_name.is_empty() {
            own.canonical_name.clone_from(&own.workload);
        }
        Some(Cow::Owned(own))
    }
}

impl Endpoint {
    /// The name of the workload; empty for what is no workload.
    #[must_use]
    pub fn name(&self) -> &str {
        let mut parts = self.workload_uid.splitn(3, '/').skip(2);
        parts.next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_owns_goes_by_its_own_name() {
        let template = |workload: &str, canonical_name: &str, unowned| EndpointTemplate {
            workload: workload.to_owned(),
            canonical_name: canonical_name.to_owned(),
            unowned,
            ..EndpointTemplate::default()
        };
        let slice = EndpointSlice {
            templates: vec![
                template("web", "shop-web", false),
                template("", "shop-web", true),
                template("", "", true),
            ],
            ..EndpointSlice::default()
        };
        let whose = |template: u32| {
            let workload_uid = "Kubernetes/shop/web-1".to_owned();
            let endpoint = Endpoint { workload_uid, template, ..Endpoint::default() };
            let template = slice.template(&endpoint)?.into_owned();
            Some((template.workload, template.canonical_name))
        };
        let names =
            |workload: &str, canonical: &str| Some((workload.to_owned(), canonical.to_owned()));
        assert_eq!(whose(0), names("web", "shop-web"));
        assert_eq!(whose(1), names("web-1", "shop-web"));
        assert_eq!(whose(2), names("web-1", "web-1"));
        assert_eq!(whose(3), None);
        let address = Endpoint { workload_uid: "10.0.0.1:80".to_owned(), ..Endpoint::default() };
        assert_eq!(address.name(), "");
    }
}
