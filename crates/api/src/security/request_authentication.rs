//! RequestAuthentication: which tokens a workload accepts.

use crate::duration::Duration;
use crate::message::message;
use crate::security::{LabelSelector, PolicyTargetReference};

message! {
    /// Which JSON Web Tokens workloads accept. A request without a token passes; one whose token is
    /// not valid is refused.
    pub struct RequestAuthentication [
        Holds(
            "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + \
             (has(self.targetRefs) ? 1 : 0) <= 1",
            "only one of targetRefs or selector can be set"
        ),
    ] {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, pending;
        /// The object that the policy is attached to. Superseded by `targetRefs`.
        target_ref: Option<PolicyTargetReference>, pending;
        /// The objects that the policy is attached to. Excludes `selector`.
        target_refs: Vec<PolicyTargetReference>, pending, MaxItems(16);
        /// Issuers whose tokens are accepted; a token of any of them will do.
        jwt_rules: Vec<JwtRule>, pending, MaxItems(4096);
    }

    /// An issuer of tokens, and where its tokens are found in requests.
    pub struct JwtRule [
        Holds(
            "(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + \
             (has(self.jwks) ? 1 : 0) <= 1",
            "only one of jwks or jwksUri can be set"
        ),
    ] {
        /// The issuer, as tokens name it.
        issuer: String, pending, Required, MinLength(1);
        /// Audiences of which a token must name one. None: any.
        audiences: Vec<String>, pending, Each(&[MinLength(1)]);
        /// Where the issuer's public keys are. The default is what the issuer's OpenID configuration
        /// says.
        jwks_uri: String, pending, Alias("jwks_uri"), MinLength(1), MaxLength(2048),
            Holds(
                "isURL(self) && url(self).getScheme() in ['http', 'https']",
                "url must have scheme http:// or https://"
            );
        /// The issuer's public keys, as a JSON Web Key Set.
        jwks: String, pending;
        /// Headers that hold tokens. The default is `Authorization` with the prefix `Bearer `.
        from_headers: Vec<JwtHeader>, pending;
        /// Parameters of the query that hold tokens. The default is `access_token`.
        from_params: Vec<String>, pending, Each(&[MinLength(1)]);
        /// The header that carries a valid token's payload to the application.
        output_payload_to_header: String, pending;
        /// Whether the token itself is kept in the request.
        forward_original_token: bool, pending;
        /// Cookies that hold tokens.
        from_cookies: Vec<String>, pending, Each(&[MinLength(1)]);
        /// Headers that carry single claims to the application.
        output_claim_to_headers: Vec<ClaimToHeader>, pending;
        /// How long fetching the keys may take. The default is 5 s.
        timeout: Option<Duration>, pending;
        /// Claims whose text is a list with spaces in between, besides `scope` and `permission`.
        space_delimited_claims: Vec<String>, pending, MaxItems(64), Each(&[MinLength(1)]);
    }

    /// A header that holds a token.
    pub struct JwtHeader {
        /// The header's name.
        name: String, pending, Required, MinLength(1);
        /// What stands before the token.
        prefix: String, pending;
    }

    /// A header that carries a claim.
    pub struct ClaimToHeader {
        /// The header's name.
        header: String, pending, Required, MinLength(1), Pattern("^[-_A-Za-z0-9]+$");
        /// The claim; `.` steps into objects.
        claim: String, pending, Required, MinLength(1);
    }
}
