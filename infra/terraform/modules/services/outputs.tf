output "urls" {
  description = "Service name to root URL."
  value       = local.urls
}

# Every ${placeholder} of infra/cloudrun/*.yaml, and nothing else: a test compares the two.
output "manifest_values" {
  description = "What infra/cloudrun/render.py fills into the manifests; holds no secret."
  value = {
    project  = var.project
    location = var.location

    ingest_url            = local.urls["ingest"]
    ingest_internal_url   = local.urls["ingest-internal"]
    reporter_internal_url = local.urls["reporter-internal"]
    compressor_url        = local.urls["compressor"]
    reporter_url          = local.urls["reporter"]

    ingest_account         = var.emails["ingest"]
    compressor_account     = var.emails["compressor"]
    reporter_account       = var.emails["reporter"]
    migrations_account     = var.emails["migrations"]
    workflow_account       = var.emails["workflow"]
    tasks_batches_account  = var.emails["tasks-batches"]
    tasks_images_account   = var.emails["tasks-images"]
    tasks_webhooks_account = var.emails["tasks-webhooks"]
    scheduler_account      = var.emails["scheduler"]

    batches_queue  = var.queues["batches"]
    images_queue   = var.queues["images"]
    webhooks_queue = var.queues["webhooks"]

    images_bucket  = var.buckets["images"]
    reports_bucket = var.buckets["reports"]
    uploads_bucket = var.buckets["uploads"]

    database_connection = var.database_connection
    workflow_id         = "batch"
    # Private images are shown by the reporter, to whoever holds a link.
    public_url_base = var.settings.public_images ? "https://storage.googleapis.com" : "${local.urls["reporter"]}/images"

    log_level                       = var.settings.log_level
    trace_sample_ratio              = tostring(var.settings.trace_sample_ratio)
    webhook_url                     = var.settings.webhook_url
    max_requests_per_minute         = tostring(var.settings.max_requests_per_minute)
    trusted_proxies                 = var.settings.domains == null ? "1" : "2"
    public_ingress                  = var.settings.domains == null ? "all" : "internal-and-cloud-load-balancing"
    public_without_keys             = tostring(var.settings.public_without_keys)
    ingest_min_instances            = tostring(var.settings.ingest_min_instances)
    ingest_max_instances            = tostring(var.settings.max_instances["ingest"])
    ingest_internal_max_instances   = tostring(var.settings.max_instances["ingest-internal"])
    compressor_max_instances        = tostring(var.settings.max_instances["compressor"])
    reporter_max_instances          = tostring(var.settings.max_instances["reporter"])
    reporter_internal_max_instances = tostring(var.settings.max_instances["reporter-internal"])
    rows_retention_days             = tostring(var.settings.rows_retention_days)

    ingest_database_url_version     = var.settings.secret_versions["ingest-database-url"]
    reporter_database_url_version   = var.settings.secret_versions["reporter-database-url"]
    download_signing_secret_version = var.settings.secret_versions["download-signing-secret"]
    image_link_secret_version       = var.settings.secret_versions["image-link-secret"]
    webhook_signing_secret_version  = var.settings.secret_versions["webhook-signing-secret"]
    webhook_endpoint_keys_version   = var.settings.secret_versions["webhook-endpoint-keys"]
    api_keys_version                = var.settings.secret_versions["api-keys"]
  }
}

output "services" {
  description = "Names of the Cloud Run services."
  value       = [for service in google_cloud_run_v2_service.this : service.name]
}

output "jobs" {
  description = "Names of the Cloud Run jobs."
  value       = [for job in google_cloud_run_v2_job.migrate : job.name]
}
