//! AuthorizationPolicies as clauses.

use lateen_mesh::v1::{Attribute, authorization_policy::Action};

use crate::mesh::Mesh;

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop, annotations: {{istio.io/dry-run: 'true'}}}}\nspec: {spec}\n"
    )
}

#[test]
fn every_field_becomes_a_clause() {
    let mut mesh = Mesh::new(&policy(
        "
  action: DENY
  rules:
  - from:
    - source: {principals: ['*', cluster.local/ns/a/sa/b], notPrincipals: [other/*], namespaces: ['team-*'], ipBlocks: [10.0.0.0/8], remoteIpBlocks: [1.2.3.4], notNamespaces: [x]}
    - source: {serviceAccounts: [own, far/away], trustDomains: [td]}
    to:
    - operation: {hosts: ['*.example.com'], ports: ['80'], methods: [GET], paths: ['/a*', '/b/{*}/c', '/d/{**}'], notPaths: ['*/z']}
    when:
    - {key: 'request.headers[X-Token]', values: [a*], notValues: [z]}
    - {key: source.namespace, notValues: [b]}
    - {key: destination.port, values: ['80']}
    - {key: connection.sni, values: [www.example.com]}
    - {key: source.ip, values: [fd00::/8]}
",
    ));
    let seen = mesh.sidecar("shop");
    let policy = mesh.policy(&seen, "shop/p").unwrap();
    assert_eq!((policy.action(), policy.dry_run), (Action::Deny, true));
    insta::assert_debug_snapshot!(policy.rules);
    assert_eq!(mesh.policy(&seen, "shop/none"), None);
}

#[test]
fn what_cannot_be_evaluated_is_marked() {
    let mut mesh = Mesh::new(&policy(
        "{action: ALLOW, rules: [{from: [{source: {requestPrincipals: ['*']}}], when: [{key: 'request.auth.claims[iss]', values: [x]}]}]}",
    ));
    let seen = mesh.sidecar("shop");
    let rule = mesh.policy(&seen, "shop/p").unwrap().rules.remove(0);
    assert_eq!(rule.from[0].clauses[0].attribute(), Attribute::Unsupported);
    assert_eq!(rule.from[0].clauses[0].field, "from[0].source.requestPrincipals");
    assert_eq!(rule.when[0].attribute(), Attribute::Unsupported);
    assert_eq!(rule.when[0].key, "request.auth.claims[iss]");
}

#[test]
fn an_empty_policy_and_an_empty_rule_differ() {
    let rules = |spec: &str| {
        let mut mesh = Mesh::new(&policy(spec));
        let seen = mesh.sidecar("shop");
        mesh.policy(&seen, "shop/p").unwrap().rules.len()
    };
    assert_eq!(rules("{}"), 0);
    assert_eq!(rules("{rules: [{}]}"), 1);
}

#[test]
fn the_trust_domains_of_the_mesh_are_one() {
    let mut mesh = Mesh::new(&policy(
        "{rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]}]}",
    ));
    let seen = mesh.sidecar("shop");
    let values = |mesh: &mut Mesh| {
        let policy = mesh.policy(&seen, "shop/p").unwrap();
        policy.rules[0].from[0].clauses[0].values.len()
    };
    assert_eq!(values(&mut mesh), 1);
    let changes = mesh.apply(
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '{trustDomain: new.example.com, trustDomainAliases: [old.example.com]}'}
",
    );
    assert_eq!(changes.stale.len(), 1);
    assert_eq!(values(&mut mesh), 2);
}

#[test]
fn tokens_are_looked_for_where_they_are_written_or_at_the_usual_places() {
    let authentication = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
        )
    };
    let yaml = authentication("usual", "{jwtRules: [{issuer: a}]}")
        + &authentication(
            "own",
            "{jwtRules: [{issuer: b, fromHeaders: [{name: X-Token}, {name: y, prefix: 'JWT '}], fromParams: [t], fromCookies: [c]}]}",
        )
        + &authentication("nothing", "{}")
        + &authentication(
            "elsewhere",
            "{targetRefs: [{kind: Service, group: '', name: web}], jwtRules: [{issuer: a}]}",
        )
        + "---\n"
        + &policy("{}").replace("name: p", "name: usual");
    let mut mesh = Mesh::new(&yaml);
    let seen = mesh.sidecar("shop");
    let places = |mesh: &mut Mesh, name: &str| {
        let policy = mesh.policy(&seen, name)?;
        assert_eq!(policy.action(), Action::Authenticate);
        let clauses = policy.rules.into_iter().flat_map(|rule| rule.when);
        let place = |it: lateen_mesh::v1::Clause| (it.attribute(), it.key.clone());
        Some(clauses.map(place).collect::<Vec<_>>())
    };
    let place = |attribute, key: &str| (attribute, key.to_owned());
    assert_eq!(
        places(&mut mesh, "shop/usual~tokens"),
        Some(vec![
            place(Attribute::Header, "authorization"),
            place(Attribute::QueryParameter, "access_token"),
        ])
    );
    assert_eq!(
        places(&mut mesh, "shop/own~tokens"),
        Some(vec![
            place(Attribute::Header, "x-token"),
            place(Attribute::Header, "y"),
            place(Attribute::QueryParameter, "t"),
            place(Attribute::Cookie, "c"),
        ])
    );
    assert_eq!(places(&mut mesh, "shop/nothing~tokens"), None);
    assert_eq!(places(&mut mesh, "shop/elsewhere~tokens"), None);
    // An AuthorizationPolicy of the same name is another policy.
    assert_eq!(mesh.policy(&seen, "shop/usual").unwrap().action(), Action::Allow);
}
