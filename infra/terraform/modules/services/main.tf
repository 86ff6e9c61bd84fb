# Terraform owns that the Cloud Run services and jobs exist, who may call them and from where. What runs in them (image,
# environment, limits) is in infra/cloudrun/*.yaml, rendered with `manifest_values` and deployed by Skaffold, which
# replaces the whole template; so the template is ignored here and begins as Google's hello container.
#
# The addresses follow from name, project number and region, so each service can be told its own before it exists
# (https://cloud.google.com/run/docs/triggering/https-request#deterministic).
locals {
  placeholder = "us-docker.pkg.dev/cloudrun/container/hello"

  services = {
    # Public routes beside internal ones: no IAM check at the door, tokens are verified by the service (AUTH_MODE=verify).
    ingest   = { public = true, ingress = "INGRESS_TRAFFIC_ALL" }
    reporter = { public = true, ingress = "INGRESS_TRAFFIC_ALL" }
    # Internal altogether: IAM checks the caller, and only traffic of the project's own Cloud Tasks gets here.
    compressor = { public = false, ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY" }
  }

  urls = { for name in keys(local.services) : name => "https://${name}-${var.project_number}.${var.location}.run.app" }

  # Who calls what, one by one. For ingest and reporter they count once `public` is switched off.
  invokers = {
    "ingest tasks"       = { service = "ingest", account = "tasks" }
    "ingest workflow"    = { service = "ingest", account = "workflow" }
    "ingest compressor"  = { service = "ingest", account = "compressor" }
    "ingest reporter"    = { service = "ingest", account = "reporter" }
    "ingest scheduler"   = { service = "ingest", account = "scheduler" }
    "compressor tasks"   = { service = "compressor", account = "tasks" }
    "reporter tasks"     = { service = "reporter", account = "tasks" }
    "reporter workflow"  = { service = "reporter", account = "workflow" }
    "reporter ingest"    = { service = "reporter", account = "ingest" }
    "reporter scheduler" = { service = "reporter", account = "scheduler" }
  }
}

resource "google_cloud_run_v2_service" "this" {
  for_each = local.services

  project              = var.project
  location             = var.location
  name                 = each.key
  ingress              = each.value.ingress
  invoker_iam_disabled = each.value.public
  custom_audiences     = [local.urls[each.key]]
  deletion_protection  = var.deletion_protection

  template {
    service_account = var.emails[each.key]

    containers {
      image = local.placeholder
    }
  }

  lifecycle {
    ignore_changes = [template, traffic, scaling, annotations, labels, client, client_version]
  }
}

resource "google_cloud_run_v2_job" "migrate" {
  for_each = toset(["ingest", "reporter"])

  project             = var.project
  location            = var.location
  name                = "migrate-${each.value}"
  deletion_protection = var.deletion_protection

  template {
    template {
      service_account = var.emails["migrations"]

      containers {
        image = local.placeholder
      }
    }
  }

  lifecycle {
    ignore_changes = [template, annotations, labels, client, client_version]
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = local.invokers

  project  = var.project
  location = var.location
  name     = google_cloud_run_v2_service.this[each.value.service].name
  role     = "roles/run.invoker"
  member   = var.members[each.value.account]
}
