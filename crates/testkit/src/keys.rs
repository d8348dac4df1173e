//! The secret service of an agent: a key and a root for a real Envoy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(string, repeated, tag = "3")]
    names: Vec<String>,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<prost_types::Any>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, Message)]
struct Secret {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    pair: Option<Pair>,
    #[prost(message, optional, tag = "4")]
    roots: Option<Roots>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(message, optional, tag = "1")]
    chain: Option<Data>,
    #[prost(message, optional, tag = "2")]
    key: Option<Data>,
}

#[derive(Clone, PartialEq, Message)]
struct Roots {
    #[prost(message, optional, tag = "1")]
    trusted: Option<Data>,
}

#[derive(Clone, PartialEq, Message)]
struct Data {
    #[prost(string, optional, tag = "3")]
    inline: Option<String>,
}

/// Serves one key until the test ends.
#[derive(Debug, Clone)]
pub struct Keys {
    certificate: String,
    key: String,
}

impl Keys {
    /// Starts it; where it listens.
    ///
    /// # Errors
    /// When there is no free port, or no certificate can be made.
    pub async fn start() -> anyhow::Result<SocketAddr> {
        let made = rcgen::generate_simple_self_signed(["mesh".to_owned()])?;
        let keys = Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(keys);
        tokio::spawn(server.serve_with_incoming(incoming));
        Ok(address)
    }

    fn secret(&self, name: &str) -> Secret {
        let data = |text: &String| Some(Data { inline: Some(text.clone()) });
        let (pair, roots) = if name == "ROOTCA" {
            (None, Some(Roots { trusted: data(&self.certificate) }))
        } else {
            (Some(Pair { chain: data(&self.certificate), key: data(&self.key) }), None)
        };
        Secret { name: name.to_owned(), pair, roots }
    }
}

impl NamedService for Keys {
    const NAME: &'static str = "envoy.service.secret.v3.SecretDiscoveryService";
}

impl tower::Service<http::Request<Body>> for Keys {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let keys = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<Answer, Asked>::default();
            Ok(Grpc::new(codec).streaming(keys, request).await)
        })
    }
}

impl StreamingService<Asked> for Keys {
    type Response = Answer;
    type ResponseStream = ReceiverStream<Result<Answer, Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Asked>>) -> Self::Future {
        let keys = self.clone();
        Box::pin(async move {
            let (sender, receiver) = mpsc::channel(1);
            let mut asked = request.into_inner();
            tokio::spawn(async move {
                while let Ok(Some(Asked { names, nonce })) = asked.message().await {
                    if !nonce.is_empty() {
                        continue;
                    }
                    let any = |name: &String| prost_types::Any {
                        type_url: TYPE_URL.to_owned(),
                        value: keys.secret(name).encode_to_vec(),
                    };
                    let answer = Answer {
                        version: "1".to_owned(),
                        resources: names.iter().map(any).collect(),
                        type_url: TYPE_URL.to_owned(),
                        nonce: "1".to_owned(),
                    };
                    if sender.send(Ok(answer)).await.is_err() {
                        return;
                    }
                }
            });
            Ok(Response::new(ReceiverStream::new(receiver)))
        })
    }
}
