//! What differs between a folder and a cluster: where objects come from, where the authority's key is, who
//! knows whose a token is, and what there is to be done beside serving.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use lateen_identity::{AuthoritySettings, CertificateAuthority, TokenIssuer, private_file};
use lateen_inject::settings::ProxyConfigs;
use lateen_sources::{Batch, DirectorySource, KubernetesSource, kubernetes};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::{
    authentication::Tokens,
    authority::Authority,
    distribution::{Distribution, Facts},
    kubernetes::{
        access::SecretAccess,
        authority,
        findings::{Findings, Said},
        lease,
        namespaces::Namespaces,
        proxy_configs::FollowedProxyConfigs,
        renewal::Renewal,
        reviews::TokenReviews,
        roots::Roots,
        status::{Judge, Statuses},
    },
    settings::{Cluster, Place, Settings},
    state::{State, StateError},
};

/// Where objects come from.
pub(super) enum Source {
    /// A folder of YAML, and the state folder beside it.
    Directory(DirectorySource, PathBuf),
    /// A cluster, and what is followed of it beside the mesh.
    Cluster(KubernetesSource, Box<Followed>, Cluster),
}

/// What the source tells that is not for the compiler.
pub(super) struct Followed {
    namespaces: Namespaces,
    proxy_configs: FollowedProxyConfigs,
    judge: Judge,
}

impl Source {
    pub(super) async fn open(settings: &Settings) -> Result<Self, StartError> {
        match &settings.place {
            Place::Directory { dir, state } => {
                private_file::create_private_dir(state)?;
                let source = DirectorySource::open(dir, Default::default()).await?;
                Ok(Self::Directory(source, state.clone()))
            }
            Place::Cluster(cluster) => {
                let options = &settings.compiler;
                let settings = kubernetes::Settings::new(
                    options.root_namespace.as_str(),
                    options.revision.as_str(),
                );
                let source = KubernetesSource::open(cluster.client.clone(), settings);
                let proxy_configs =
                    FollowedProxyConfigs::new(&options.root_namespace, &options.revision);
                let (namespaces, judge) = (Namespaces::new(), Judge::new());
                let followed = Box::new(Followed { namespaces, proxy_configs, judge });
                Ok(Self::Cluster(source, followed, cluster.clone()))
            }
        }
    }

    /// The ProxyConfigs of a cluster, as they are and as they change.
    pub(super) fn proxy_configs(&self) -> watch::Receiver<Arc<ProxyConfigs>> {
        match self {
            // Nobody injects from a folder.
            Self::Directory(..) => watch::channel(Arc::default()).1,
            Self::Cluster(_, followed, _) => followed.proxy_configs.subscribe(),
        }
    }

    /// The next batch, when there is one.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        match self {
            Self::Directory(source, _) => source.next().await,
            Self::Cluster(source, followed, _) => {
                let batch = source.next().await?;
                followed.namespaces.take(&batch);
                followed.proxy_configs.take(&batch);
                followed.judge.take(&batch);
                Some(batch)
            }
        }
    }
}

/// What is at hand when the objects are read.
pub(super) struct Home {
    pub(super) authority: Authority,
    pub(super) tokens: Tokens,
    /// Who knows which gateways may have keys; in a folder all may.
    pub(super) secrets: Option<SecretAccess>,
    pub(super) chores: Chores,
}

/// What is to be done beside serving.
pub(super) enum Chores {
    /// Tokens and accounts are written for the proxies of this machine.
    Directory(Box<State>),
    /// What only one of several control planes does.
    Cluster {
        cluster: Cluster,
        secret: Box<Kept>,
        namespaces: watch::Receiver<Arc<BTreeSet<String>>>,
        read: watch::Receiver<Arc<Said>>,
    },
}

/// Where the authority is kept, and what exchanges the one in force.
pub(super) struct Kept {
    name: &'static str,
    data: authority::Data,
    settings: AuthoritySettings,
    exchange: watch::Sender<Arc<CertificateAuthority>>,
}

impl Home {
    pub(super) async fn open(
        source: &Source,
        settings: &Settings,
        authority: AuthoritySettings,
        facts: &Facts,
        now: SystemTime,
    ) -> Result<Self, StartError> {
        match source {
            Source::Directory(_, state) => Self::folder(settings, state, authority, facts, now),
            Source::Cluster(_, followed, cluster) => {
                let namespace = &settings.compiler.root_namespace;
                let client = cluster.client.clone();
                let loaded =
                    authority::load_or_create(&client, namespace, authority.clone()).await?;
                let (exchange, in_force) = Authority::new(loaded.authority);
                let (name, data) = (loaded.secret, loaded.data);
                let secret = Box::new(Kept { name, data, settings: authority, exchange });
                Ok(Self {
                    authority: in_force,
                    tokens: Tokens::Reviewed(Box::new(TokenReviews::new(client.clone()))),
                    secrets: Some(SecretAccess::new(client)),
                    chores: Chores::Cluster {
                        cluster: cluster.clone(),
                        secret,
                        namespaces: followed.namespaces.subscribe(),
                        read: followed.judge.subscribe(),
                    },
                })
            }
        }
    }

    fn folder(
        settings: &Settings,
        folder: &Path,
        authority: AuthoritySettings,
        facts: &Facts,
        now: SystemTime,
    ) -> Result<Self, StartError> {
        let authority = CertificateAuthority::load_or_create(folder, authority, now)?;
        let issuer = TokenIssuer::load_or_create(folder)?;
        let tokens = Tokens::Local(issuer.verifier());
        let mut state = State::new(folder, issuer, settings.token_lifetime);
        match state.write(&facts.accounts, now) {
            // The trouble of one workload, which goes without; the others never notice.
            Err(error @ StateError::Name { .. }) => {
                tracing::error!(%error, "the state folder is not up to date");
            }
            written => written?,
        }
        let chores = Chores::Directory(Box::new(state));
        // In a folder it is exchanged by starting anew.
        let (_, authority) = Authority::new(authority);
        Ok(Self { authority, tokens, secrets: None, chores })
    }
}

impl Chores {
    /// Starts what is to be done, until stopped.
    pub(super) fn start(
        self,
        settings: &Settings,
        authority: Authority,
        distribution: &Distribution,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) {
        match self {
            Self::Directory(state) => {
                tasks.spawn(state.follow(distribution.facts(), stop.clone()));
            }
            Self::Cluster { cluster: Cluster { client, identity }, secret, namespaces, read } => {
                let options = &settings.compiler;
                let (leading, election) = lease::run_for(
                    client.clone(),
                    &options.root_namespace,
                    lease::name(&options.revision),
                    identity,
                    stop.clone(),
                );
                tasks.spawn(async move {
                    if election.await.is_err() {
                        tracing::error!("the election failed; this control plane does not write");
                    }
                });
                let Kept { name, data, settings: of_authority, exchange } = *secret;
                let renewal = Renewal {
                    client: client.clone(),
                    namespace: options.root_namespace.clone(),
                    secret: name,
                    data,
                    settings: of_authority,
                    check: settings.root_check,
                    exchange,
                    leading: leading.clone(),
                };
                tasks.spawn(renewal.run(stop.clone()));
                let roots = Roots::new(client.clone(), authority, namespaces, leading.clone());
                tasks.spawn(roots.run(stop.clone()));
                let findings = Findings::new(distribution.clone(), leading.clone());
                let found = findings.subscribe();
                tasks.spawn(findings.run(stop.clone()));
                let revision = options.revision.clone();
                let statuses = Statuses::new(client, revision, read, found, leading);
                tasks.spawn(statuses.run(stop.clone()));
            }
        }
    }
}
