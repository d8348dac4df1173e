//! Layers, settings, and the archive: an OCI image layout (OCI image specification 1.1, `image-layout`)
//! that is a `docker save` archive as well, by its `manifest.json`. Layers are not compressed: the
//! archive is for the disk beside it.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::error::Error;
use crate::layer::{self, Descriptor};
use crate::tree::Tree;

/// A block of a tar stream.
const BLOCK: usize = 512;
/// When everything was made: reproducible, so at no time.
const CREATED: &str = "1970-01-01T00:00:00Z";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What a container of an image runs, unless it is told otherwise.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// User and group, as `1337:1337`; empty: root.
    pub user: String,
    /// The program with its first arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a container may replace.
    pub command: Vec<String>,
    /// Variables as `NAME=value`.
    pub environment: Vec<String>,
    /// Labels, as `org.opencontainers.image.title`.
    pub labels: Vec<(String, String)>,
}

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// With registry and tag: `ghcr.io/lateen/lateen:0.1.0`.
    pub name: String,
    /// From the lowest.
    pub layers: Vec<Tree>,
    /// What its containers run.
    pub settings: Settings,
}

impl Image {
    /// Writes the archive.
    ///
    /// # Errors
    /// When a file cannot be read, changes meanwhile, or the archive cannot be written.
    pub fn write(&self, to: impl Write) -> Result<(), Error> {
        let layers: Vec<Descriptor> =
            self.layers.iter().map(layer::measure).collect::<Result<_, _>>()?;
        let config = self.config(&layers)?.to_string();
        let config = (Descriptor::of(config.as_bytes()), config);
        let manifest = manifest(&config.0, &layers).to_string();
        let manifest = (Descriptor::of(manifest.as_bytes()), manifest);

        let mut archive = Archive { to };
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.file("index.json", self.index(&manifest.0).to_string().as_bytes())?;
        archive.file("manifest.json", self.saved(&config.0, &layers).to_string().as_bytes())?;
        for (descriptor, text) in [&config, &manifest] {
            archive.file(&blob(descriptor), text.as_bytes())?;
        }
        let mut written: Vec<&Descriptor> = Vec::new();
        for (descriptor, tree) in layers.iter().zip(&self.layers) {
            // Equal layers are one blob.
            if !written.contains(&descriptor) {
                archive.layer(descriptor, tree, &self.name)?;
                written.push(descriptor);
            }
        }
        archive.finish()
    }

    fn architecture(&self) -> Result<&'static str, Error> {
        let mut known = None;
        for architecture in self.layers.iter().filter_map(Tree::architecture) {
            match known {
                Some(first) if first != architecture => {
                    let image = self.name.clone();
                    return Err(Error::Machines { image, first, second: architecture });
                }
                _ => known = Some(architecture),
            }
        }
        Ok(known.unwrap_or("amd64"))
    }

    fn config(&self, layers: &[Descriptor]) -> Result<Value, Error> {
        let settings = &self.settings;
        let mut config = json!({ "User": settings.user, "WorkingDir": "/" });
        for (name, words) in [
            ("Entrypoint", &settings.entrypoint),
            ("Cmd", &settings.command),
            ("Env", &settings.environment),
        ] {
            if !words.is_empty() {
                config[name] = json!(words);
            }
        }
        for (name, text) in &settings.labels {
            config["Labels"][name] = json!(text);
        }
        let identities: Vec<String> = layers.iter().map(digest).collect();
        let history: Vec<Value> =
            layers.iter().map(|_| json!({ "created": CREATED, "created_by": "lateen" })).collect();
        Ok(json!({
            "created": CREATED,
            "architecture": self.architecture()?,
            "os": "linux",
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": identities },
            "history": history,
        }))
    }

    fn index(&self, manifest: &Descriptor) -> Value {
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": MANIFEST,
                "digest": digest(manifest),
                "size": manifest.size,
                "annotations": {
                    "io.containerd.image.name": self.name,
                    "org.opencontainers.image.ref.name": tag,
                },
            }],
        })
    }

    /// What `docker load` of any age reads.
    fn saved(&self, config: &Descriptor, layers: &[Descriptor]) -> Value {
        let layers: Vec<String> = layers.iter().map(blob).collect();
        json!([{ "Config": blob(config), "RepoTags": [self.name], "Layers": layers }])
    }
}

fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Value {
    let reference = |kind: &str, of: &Descriptor| json!({ "mediaType": kind, "digest": digest(of), "size": of.size });
    let layers: Vec<Value> = layers.iter().map(|of| reference(LAYER, of)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": reference(CONFIG, config),
        "layers": layers,
    })
}

fn digest(of: &Descriptor) -> String {
    format!("sha256:{}", of.sha256)
}

fn blob(of: &Descriptor) -> String {
    format!("blobs/sha256/{}", of.sha256)
}

/// The tar stream of an archive, in which layers are written as they are made.
struct Archive<W> {
    to: W,
}

impl<W: Write> Archive<W> {
    fn header(&mut self, path: &str, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(path)?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.to.write_all(header.as_bytes())
    }

    fn fill(&mut self, size: u64) -> io::Result<()> {
        let missing = size.next_multiple_of(BLOCK as u64) - size;
        io::copy(&mut io::Read::take(io::repeat(0), missing), &mut self.to).map(drop)
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let size = bytes.len() as u64;
        self.header(path, size)?;
        self.to.write_all(bytes)?;
        Ok(self.fill(size)?)
    }

    fn layer(&mut self, measured: &Descriptor, tree: &Tree, name: &str) -> Result<(), Error> {
        self.header(&blob(measured), measured.size)?;
        if layer::write(tree, &mut self.to)? != *measured {
            return Err(Error::Changed(name.into()));
        }
        Ok(self.fill(measured.size)?)
    }

    fn finish(mut self) -> Result<(), Error> {
        // Two empty blocks end the stream.
        self.to.write_all(&[0; 2 * BLOCK])?;
        Ok(self.to.flush()?)
    }
}
