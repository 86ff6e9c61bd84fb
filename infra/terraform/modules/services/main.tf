# Terraform owns that the Cloud Run services and jobs exist, who may call them and from where. What runs in them (image,
# environment, limits) is in infra/cloudrun/*.yaml, rendered with `manifest_values` and deployed by Skaffold, which
# replaces the whole template; so the template is ignored here and begins as Google's hello container.
#
# The addresses follow from name, project number and region, so each service can be told its own before it exists
# (https://cloud.google.com/run/docs/triggering/https-request#deterministic).
locals {
  placeholder = "us-docker.pkg.dev/cloudrun/container/hello"

  public_ingress = var.settings.domains == null ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"

  services = {
    # Ingest and reporter run twice, each door with its own routes. The public ones have no IAM check: clients have API
    # keys. Behind them no route trusts a token.
    ingest   = { account = "ingest", public = true, ingress = local.public_ingress }
    reporter = { account = "reporter", public = true, ingress = local.public_ingress }
    # IAM checks who calls. The ingress is open, because calls of other Cloud Run services are internal only in a VPC.
    ingest-internal   = { account = "ingest", public = false, ingress = "INGRESS_TRAFFIC_ALL" }
    reporter-internal = { account = "reporter", public = false, ingress = "INGRESS_TRAFFIC_ALL" }
    # Likewise: Cloud Tasks would be internal, but ingest asks it for previews.
    compressor = { account = "compressor", public = false, ingress = "INGRESS_TRAFFIC_ALL" }
  }

  urls = {
    for name in keys(local.services) : name => try(
      "https://${var.settings.domains[name]}",
      "https://${name}-${var.project_number}.${var.location}.run.app",
    )
  }

  # Who calls what, one by one.
  invokers = {
    "ingest-internal tasks"       = { service = "ingest-internal", account = "tasks-batches" }
    "ingest-internal workflow"    = { service = "ingest-internal", account = "workflow" }
    "ingest-internal compressor"  = { service = "ingest-internal", account = "compressor" }
    "ingest-internal reporter"    = { service = "ingest-internal", account = "reporter" }
    "ingest-internal scheduler"   = { service = "ingest-internal", account = "scheduler" }
    "compressor tasks"            = { service = "compressor", account = "tasks-images" }
    "compressor ingest"           = { service = "compressor", account = "ingest" }
    "reporter-internal tasks"     = { service = "reporter-internal", account = "tasks-webhooks" }
    "reporter-internal workflow"  = { service = "reporter-internal", account = "workflow" }
    "reporter-internal ingest"    = { service = "reporter-internal", account = "ingest" }
    "reporter-internal scheduler" = { service = "reporter-internal", account = "scheduler" }
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
    service_account = var.emails[each.value.account]

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
