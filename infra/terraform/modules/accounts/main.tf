# One service account per part; nothing runs as a default account. What each may do is granted beside the thing it may
# do it to: buckets, queues, secrets, services. What has no smaller scope than the project is granted here.
locals {
  accounts = {
    ingest     = "Cloud Run service ingest"
    compressor = "Cloud Run service compressor"
    reporter   = "Cloud Run service reporter"
    migrations = "Cloud Run jobs that migrate the databases"
    workflow   = "Cloud Workflows definition batch"
    # One a queue: whoever may fill one queue can have one service called, and no other.
    tasks-batches  = "Who Cloud Tasks starts batches as"
    tasks-images   = "Who Cloud Tasks calls the compressor as"
    tasks-webhooks = "Who Cloud Tasks has webhooks delivered as"
    scheduler      = "Who Cloud Scheduler calls the services as"
    builder        = "Cloud Build: test, build, push"
    deployer       = "Cloud Build: deploy what was pushed"
  }

  # As module queues: queue Q carries the account tasks-Q.
  task_creators = {
    "batches ingest"    = { tasks = "tasks-batches", account = "ingest" }
    "images ingest"     = { tasks = "tasks-images", account = "ingest" }
    "images workflow"   = { tasks = "tasks-images", account = "workflow" }
    "webhooks reporter" = { tasks = "tasks-webhooks", account = "reporter" }
  }

  project_roles = {
    # Connections through the Cloud SQL connector.
    "ingest cloudsql"     = { account = "ingest", role = "roles/cloudsql.client" }
    "reporter cloudsql"   = { account = "reporter", role = "roles/cloudsql.client" }
    "migrations cloudsql" = { account = "migrations", role = "roles/cloudsql.client" }
    # Send the spans of the batches that are followed; traces have no smaller scope.
    "ingest trace"     = { account = "ingest", role = "roles/cloudtrace.agent" }
    "compressor trace" = { account = "compressor", role = "roles/cloudtrace.agent" }
    "reporter trace"   = { account = "reporter", role = "roles/cloudtrace.agent" }
    # Create executions, ask whether they live, send callbacks. Workflows has no grants per workflow.
    "ingest workflows" = { account = "ingest", role = "roles/workflows.invoker" }
    # An execution that has used up its steps starts its successor.
    "workflow workflows" = { account = "workflow", role = "roles/workflows.invoker" }
    "workflow logs"      = { account = "workflow", role = "roles/logging.logWriter" }
    "builder logs"       = { account = "builder", role = "roles/logging.logWriter" }
    "deployer logs"      = { account = "deployer", role = "roles/logging.logWriter" }
    # Follow the revisions and job executions that it started; its right to replace them is granted service by service.
    "deployer run" = { account = "deployer", role = "roles/run.viewer" }
  }
}

resource "google_service_account" "this" {
  for_each = local.accounts

  project      = var.project
  account_id   = "pressroom-${each.key}"
  display_name = "Pressroom ${each.key}"
  description  = each.value
}

resource "google_project_iam_member" "this" {
  for_each = local.project_roles

  project = var.project
  role    = each.value.role
  member  = google_service_account.this[each.value.account].member
}

# The workflow reads how a batch of tasks went. Of the predefined roles only those that may also change queues have this
# permission (https://cloud.google.com/iam/docs/roles-permissions/cloudtasks); operations have no smaller scope.
resource "google_project_iam_custom_role" "task_operations" {
  project     = var.project
  role_id     = "pressroomTaskOperations"
  title       = "Pressroom: read operations of Cloud Tasks"
  permissions = ["cloudtasks.operations.get"]
}

resource "google_project_iam_member" "task_operations" {
  project = var.project
  role    = google_project_iam_custom_role.task_operations.name
  member  = google_service_account.this["workflow"].member
}

# Whoever creates a task with an account's token must be allowed to act as that account.
resource "google_service_account_iam_member" "acts_as_tasks" {
  for_each = local.task_creators

  service_account_id = google_service_account.this[each.value.tasks].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.this[each.value.account].member
}

# Whoever deploys a revision must be allowed to act as the account that it runs as.
resource "google_service_account_iam_member" "deployer_acts_as" {
  for_each = toset(["ingest", "compressor", "reporter", "migrations", "workflow"])

  service_account_id = google_service_account.this[each.value].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.this["deployer"].member
}
