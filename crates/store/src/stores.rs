//! Object stores, each opened once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, ObjectStore, ObjectStoreScheme};
use tokio::runtime::{Builder, Runtime};
use url::{Position, Url};

use crate::error::StoreError;
use crate::objects::Objects;

/// The object stores that URLs lead to, by what comes before the path; those of one bucket share connections.
#[derive(Debug, Default)]
pub struct Stores {
    opened: BTreeMap<String, Arc<dyn ObjectStore>>,
    runtime: Option<Arc<Runtime>>,
}

impl Stores {
    /// Answers URLs that begin with `origin`, such as `s3://bucket`, from a store that is open already.
    #[must_use]
    pub fn with(mut self, origin: &str, store: Arc<dyn ObjectStore>) -> Self {
        self.opened.insert(origin.to_owned(), store);
        self
    }

    /// What a URL leads to. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`StoreError::Url`] if no store has such URLs, [`StoreError::Io`] if threads cannot be started.
    pub fn objects(&mut self, root: &Path, url: &Url) -> Result<Objects, StoreError> {
        let refused = |fault: &dyn ToString| StoreError::Url { url: root.to_owned(), reason: fault.to_string() };
        let (scheme, path) = ObjectStoreScheme::parse(url).map_err(|fault| refused(&fault))?;
        let is_listable = scheme != ObjectStoreScheme::Http;
        // Where the path names the bucket, one URL says nothing of another.
        let is_bucket_in_path = is_listable && url.scheme() == "https";
        let origin = if is_bucket_in_path { url.as_str() } else { &url[..Position::BeforePath] };
        let store = match self.opened.get(origin) {
            Some(store) => Arc::clone(store),
            None => open(&scheme, url).map_err(|fault| refused(&fault))?,
        };
        self.opened.insert(origin.to_owned(), Arc::clone(&store));
        Ok(Objects { store, runtime: self.runtime()?, root: root.to_owned(), prefix: path, is_listable })
    }

    fn runtime(&mut self) -> Result<Arc<Runtime>, StoreError> {
        if let Some(runtime) = &self.runtime {
            return Ok(Arc::clone(runtime));
        }
        let runtime = Arc::new(Builder::new_multi_thread().worker_threads(2).enable_all().build()?);
        Ok(Arc::clone(self.runtime.insert(runtime)))
    }
}

fn open(scheme: &ObjectStoreScheme, url: &Url) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    Ok(match scheme {
        ObjectStoreScheme::AmazonS3 => Arc::new(AmazonS3Builder::from_env().with_url(url.as_str()).build()?),
        ObjectStoreScheme::GoogleCloudStorage => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).build()?)
        }
        ObjectStoreScheme::Http => {
            let options = ClientOptions::new().with_allow_http(true);
            let origin = &url[..Position::BeforePath];
            Arc::new(HttpBuilder::new().with_url(origin).with_client_options(options).build()?)
        }
        _ => return Err(object_store::Error::NotSupported { source: "no object store has such URLs".into() }),
    })
}
