//! Tables straight from files and object stores: `SELECT * FROM 's3://bucket/folder/'`.

use std::sync::Arc;

use datafusion::common::{Result, TableReference};
use datafusion::prelude::SessionContext;
use datafusion_cli::catalog::DynamicObjectStoreCatalog;

/// The session with quoted paths usable as tables; the object store of an `s3://`, `gs://`,
/// `http://` .. path is registered when the path is first used, with credentials from the
/// environment.
///
/// # Errors
/// A catalog that cannot be refreshed.
pub(crate) async fn with_url_tables(ctx: SessionContext) -> Result<SessionContext> {
    let ctx = ctx.enable_url_table();
    ctx.refresh_catalogs().await?;
    let catalogs = Arc::clone(ctx.state().catalog_list());
    let dynamic = DynamicObjectStoreCatalog::new(catalogs, ctx.state_weak_ref());
    ctx.register_catalog_list(Arc::new(dynamic));
    Ok(ctx)
}

/// Makes the file, folder or URL `path` known as `name`, in a session of [`with_url_tables`].
///
/// # Errors
/// A path with no readable table behind it.
pub(crate) async fn register(ctx: &SessionContext, name: &str, path: &str) -> Result<()> {
    let provider = ctx
        .table_provider(TableReference::bare(path))
        .await
        .map_err(|error| error.context(format!("table {name}: cannot read '{path}'")))?;
    ctx.register_table(name, provider)?;
    Ok(())
}
