//! Stores in DynamoDB and S3.

use std::sync::Arc;

use storage::{
    Place, Result,
    layer::{Limiter, LimiterOptions, Observer, Usage, measured::Observation},
};
use storage_aws::{Access, DynamoOptions, DynamoTable, S3Blobs, S3Options};

use super::{Tell, Watching};
use crate::config::{Aws, DynamoDbStore};

fn options(store: &DynamoDbStore) -> (DynamoOptions, S3Options) {
    let access = |aws: &Aws| Access {
        endpoint: aws.endpoint.clone(),
        region: aws.region.clone(),
        profile: aws.profile.clone(),
        credentials_file: aws.credentials.clone(),
    };
    let tables = DynamoOptions {
        access: access(&store.tables),
        prefix: store.table_prefix.clone(),
        ..DynamoOptions::default()
    };
    let objects = S3Options {
        access: access(&store.objects.aws),
        path_style: store.objects.path_style,
        ..S3Options::new(&store.objects.name)
    };
    (tables, objects)
}

pub(super) async fn open(store: &DynamoDbStore, watching: Option<&Watching>) -> Result<Place> {
    let (tables, objects) = options(store);
    for warning in storage_aws::setup::check_tables(&tables).await? {
        tracing::warn!("{warning}");
    }
    storage_aws::setup::check_bucket(&objects).await?;
    let limiter = Limiter::told(LimiterOptions::default());
    let told: Arc<dyn Observer> = Arc::new(Told {
        limiter: limiter.clone(),
        observer: watching.map(|watching| watching.calls.clone()),
    });
    let table = DynamoTable::open(&tables).await.with_observer(told);
    let mut blobs = S3Blobs::open(&objects).await;
    if let Some(watching) = watching {
        blobs = blobs.with_observer(watching.calls.clone());
    }
    Ok(Place {
        limiter: Some(limiter),
        ..Place::new(Arc::new(table), Arc::new(blobs))
    })
}

pub(super) async fn init(store: &DynamoDbStore, tell: Tell<'_>) -> Result<()> {
    let (tables, objects) = options(store);
    storage_aws::setup::init_tables(&tables, tell).await?;
    storage_aws::setup::init_bucket(&objects, tell).await?;
    Ok(())
}

/// Tells the limiter what the store refused because it was too much, which is not all that ends as `Throttled`.
struct Told {
    limiter: Arc<Limiter>,
    observer: Option<Arc<dyn Observer>>,
}

impl Observer for Told {
    fn observe(&self, observation: &Observation) {
        if let Some(observer) = &self.observer {
            observer.observe(observation);
        }
    }

    fn spent(&self, usage: &Usage) {
        if usage.throttled > 0 {
            self.limiter.throttled();
        }
        if let Some(observer) = &self.observer {
            observer.spent(usage);
        }
    }
}
