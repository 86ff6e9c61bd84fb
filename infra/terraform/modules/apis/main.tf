# The Google APIs that Pressroom uses. Enabling one also makes its service agent, which mints the OIDC tokens of tasks,
# schedules and workflow steps.
locals {
  services = toset([
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "cloudtasks.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "sqladmin.googleapis.com",
    "storage.googleapis.com",
    "workflowexecutions.googleapis.com",
    "workflows.googleapis.com",
  ])
}

resource "google_project_service" "this" {
  for_each = local.services

  project = var.project
  service = each.value

  # Another application of the project may use it too.
  disable_on_destroy = false
}
