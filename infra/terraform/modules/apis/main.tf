# The Google APIs that Pressroom uses, and the service agents that mint the OIDC tokens of tasks, schedules and workflow
# steps. Enabling an API promises its agent but may make it minutes later, on which a first apply would end with
# "service agent does not exist"; asking for the identity makes it at once.
locals {
  services = toset([
    "artifactregistry.googleapis.com",
    "billingbudgets.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "cloudtasks.googleapis.com",
    # Spans are sent to telemetry, which keeps them only where Cloud Trace is on.
    "cloudtrace.googleapis.com",
    "containeranalysis.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "sqladmin.googleapis.com",
    "storage.googleapis.com",
    "telemetry.googleapis.com",
    "workflowexecutions.googleapis.com",
    "workflows.googleapis.com",
  ])

  # Whose agents something is created with right after.
  agents = toset([
    "cloudscheduler.googleapis.com",
    "cloudtasks.googleapis.com",
    "workflows.googleapis.com",
  ])

  # Costs by the image that is pushed, so it can be left out.
  scanning = var.scan_images ? toset(["containerscanning.googleapis.com"]) : toset([])
}

resource "google_project_service" "this" {
  for_each = setunion(local.services, local.scanning, var.more_services)

  project = var.project
  service = each.value

  # Another application of the project may use it too.
  disable_on_destroy = false
}

resource "google_project_service_identity" "this" {
  provider = google-beta
  for_each = setunion(local.agents, var.more_agents)

  project = var.project
  service = google_project_service.this[each.value].service
}
