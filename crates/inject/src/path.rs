//! Variables in the path of the injection webhook, by which one control plane serves several clusters
//! and networks: `/inject/cluster/west/net/blue`, with `--slash--` for a `/` in a value, or in the
//! older form `/inject/:ENV:cluster=west:ENV:net=blue`.

/// The environment variables that a path sets on the proxy.
#[must_use]
pub fn variables(path: &str) -> Vec<(String, String)> {
    let rest = path.strip_prefix("/inject").unwrap_or(path).trim_matches('/');
    if let Some(older) = rest.strip_prefix(":ENV:") {
        let pairs = older.split(":ENV:").filter_map(|pair| pair.split_once('='));
        return pairs.map(|(name, value)| (variable(name), value.to_owned())).collect();
    }
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let pairs = parts.chunks_exact(2);
    pairs.map(|pair| (variable(pair[0]), pair[1].replace("--slash--", "/"))).collect()
}

fn variable(name: &str) -> String {
    match name {
        "cluster" => "ISTIO_META_CLUSTER_ID",
        "net" => "ISTIO_META_NETWORK",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_path_are_read() {
        for (path, expected) in [
            ("/inject", vec![]),
            ("/inject/", vec![]),
            ("/inject/cluster/west", vec![("ISTIO_META_CLUSTER_ID", "west")]),
            (
                "/inject/cluster/a--slash--b/net/blue/FOO/bar",
                vec![
                    ("ISTIO_META_CLUSTER_ID", "a/b"),
                    ("ISTIO_META_NETWORK", "blue"),
                    ("FOO", "bar"),
                ],
            ),
            ("/inject/net/blue/odd", vec![("ISTIO_META_NETWORK", "blue")]),
            (
                "/inject/:ENV:cluster=west:ENV:x=a/b",
                vec![("ISTIO_META_CLUSTER_ID", "west"), ("x", "a/b")],
            ),
        ] {
            let read = variables(path);
            let read: Vec<(&str, &str)> =
                read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(read, expected, "{path}");
        }
    }
}
