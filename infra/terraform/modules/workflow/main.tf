# The workflow `batch`, from the very file that runs locally. What it must know comes in as environment variables.
resource "google_workflows_workflow" "batch" {
  project                 = var.project
  region                  = var.location
  name                    = "batch"
  description             = "The life of one batch of product images"
  service_account         = var.service_account
  source_contents         = file("${path.module}/../../../../workflows/batch.yaml")
  call_log_level          = "LOG_ERRORS_ONLY"
  execution_history_level = "EXECUTION_HISTORY_BASIC"
  deletion_protection     = var.deletion_protection
  crypto_key_name         = var.kms_key

  user_env_vars = {
    INGEST_INTERNAL_URL   = var.urls["ingest-internal"]
    REPORTER_INTERNAL_URL = var.urls["reporter-internal"]
    REPORTER_URL          = var.urls["reporter"]
    IMAGES_QUEUE          = var.images_queue
    CREATE_TASKS_BY       = var.create_tasks_by
  }

  # The first source is Terraform's, the later ones are deployed with the services that they fit (cloudbuild-deploy.yaml).
  lifecycle {
    ignore_changes = [source_contents]
  }
}
