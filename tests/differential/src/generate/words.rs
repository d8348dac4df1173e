//! The words that meshes and requests are made of. They are few, so that what one object matches is
//! what another request nearly has.

/// A regular expression, with values that match it as a whole and values that only nearly do.
#[derive(Debug, Clone, Copy)]
pub struct Expression {
    /// The expression, in RE2's syntax.
    pub text: &'static str,
    /// Values that match.
    pub hits: &'static [&'static str],
    /// Values that do not.
    pub misses: &'static [&'static str],
}

/// Paths that rules and policies name, and that requests are made of.
pub const PATHS: [&str; 12] = [
    "/",
    "/api",
    "/api/",
    "/api/v1/items",
    "/api/v2",
    "/static/app.js",
    "/health",
    "/Admin",
    "/admin/users",
    "/a%20b",
    "/a.b/c",
    "/x;y=1/z",
];

/// Expressions over paths.
pub const PATH_EXPRESSIONS: [Expression; 8] = [
    Expression {
        text: "/api/v[0-9]+",
        hits: &["/api/v1", "/api/v22"],
        misses: &["/api/v", "/api/v1/", "/API/v1", "/x/api/v1"],
    },
    Expression {
        text: "/(api|admin)(/.*)?",
        hits: &["/api", "/admin/users", "/api/"],
        misses: &["/apis", "/ap", "/Admin"],
    },
    Expression {
        text: ".*\\.js",
        hits: &["/static/app.js", "/.js"],
        misses: &["/static/appxjs", "/static/app.jsx", "/app.JS"],
    },
    Expression { text: "/api/.*", hits: &["/api/", "/api/v1/items"], misses: &["/api", "/Api/"] },
    Expression {
        text: "(?i)/admin/[a-z]+",
        hits: &["/admin/users", "/ADMIN/Users"],
        misses: &["/admin/", "/admin/users1"],
    },
    Expression { text: "/h|/health", hits: &["/h", "/health"], misses: &["/he", "/healthy"] },
    Expression {
        text: "^/static/.*$",
        hits: &["/static/app.js"],
        misses: &["/static", "/astatic/"],
    },
    Expression { text: "/[^/]*", hits: &["/", "/api", "/a%20b"], misses: &["/api/", "//"] },
];

/// Names of headers.
pub const HEADERS: [&str; 6] =
    ["x-user", "x-version", "X-Debug", "user-agent", "cookie", "x-forwarded-for"];

/// Values of headers, query parameters and the like.
pub const VALUES: [&str; 7] = ["jason", "anna", "jas", "1", "v2", "a=b; c=d", "a,b"];

/// Expressions over such values.
pub const VALUE_EXPRESSIONS: [Expression; 7] = [
    Expression { text: "j.*n", hits: &["jason", "jn"], misses: &["jaso", "ajason", "Jason"] },
    Expression { text: "v?[0-9]{1,3}", hits: &["1", "v22"], misses: &["v", "v1234", "x1"] },
    Expression { text: "(?i)jason", hits: &["jason", "JASON"], misses: &["jaso", "jasonx"] },
    Expression { text: "anna|jas", hits: &["anna", "jas"], misses: &["annajas", "jason"] },
    Expression { text: ".*", hits: &["jason", ""], misses: &[] },
    Expression { text: ".+", hits: &["a", "a b"], misses: &[""] },
    Expression { text: "a(,b)?", hits: &["a", "a,b"], misses: &["a,", "b"] },
];

/// Names of query parameters.
pub const PARAMETERS: [&str; 4] = ["version", "q", "Q", "a-b"];

/// Methods that are matched.
pub const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// Expressions over methods.
pub const METHOD_EXPRESSIONS: [Expression; 2] = [
    Expression { text: "P.*", hits: &["POST", "PATCH"], misses: &["GET", "post"] },
    Expression { text: "GET|HEAD", hits: &["GET", "HEAD"], misses: &["get", "GETX"] },
];
