# The queues of infra/queues.yaml, which localcloud reads too; how fast they let go is the environment's size.
locals {
  queues = { for queue in yamldecode(file("${path.module}/../../../queues.yaml")).queues : queue.name => queue }

  # Queue and account that may create tasks on it.
  enqueuers = {
    "batches ingest"    = { queue = "batches", account = "ingest" }
    "images ingest"     = { queue = "images", account = "ingest" }
    "images workflow"   = { queue = "images", account = "workflow" }
    "webhooks reporter" = { queue = "webhooks", account = "reporter" }
  }
}

resource "google_cloud_tasks_queue" "this" {
  for_each = local.queues

  project  = var.project
  location = var.location
  name     = each.key

  rate_limits {
    max_dispatches_per_second = var.rate_limits[each.key].max_dispatches_per_second
    max_concurrent_dispatches = var.rate_limits[each.key].max_concurrent_dispatches
  }

  retry_config {
    max_attempts  = each.value.retry_config.max_attempts
    min_backoff   = each.value.retry_config.min_backoff
    max_backoff   = each.value.retry_config.max_backoff
    max_doublings = each.value.retry_config.max_doublings
  }

  # One in a hundred operations is logged: enough to see a queue misbehave, cheap with millions of tasks.
  stackdriver_logging_config {
    sampling_ratio = 0.01
  }
}

resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = local.enqueuers

  project  = var.project
  location = var.location
  name     = google_cloud_tasks_queue.this[each.value.queue].name
  role     = "roles/cloudtasks.enqueuer"
  member   = var.members[each.value.account]
}
