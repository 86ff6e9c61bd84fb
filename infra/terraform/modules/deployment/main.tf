# What Cloud Build needs to deploy: a bucket with the manifests' values, and the right to replace the things that Terraform
# made. On each of them and not on the project, so a build cannot add a service of its own.
resource "google_storage_bucket" "deployment" {
  #checkov:skip=CKV_GCP_62:Only builds read it; Cloud Build logs what they do.
  #checkov:skip=CKV_GCP_78:Everything in it can be made again by `terraform apply`.
  project                     = var.project
  name                        = "${var.project}-pressroom-deployment"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  # Uploaded sources of `gcloud builds submit`.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = 30
      matches_prefix = ["source/"]
    }
  }
}

resource "google_storage_bucket_object" "manifest_values" {
  bucket       = google_storage_bucket.deployment.name
  name         = "manifest-values.json"
  content      = jsonencode(var.manifest_values)
  content_type = "application/json"
}

resource "google_storage_bucket_iam_member" "deployer_reads" {
  bucket = google_storage_bucket.deployment.name
  role   = "roles/storage.objectViewer"
  member = var.deployer_member
}

resource "google_storage_bucket_iam_member" "builder_reads" {
  bucket = google_storage_bucket.deployment.name
  role   = "roles/storage.objectViewer"
  member = var.builder_member
}

# Bills of materials, one folder a build; it can neither read others' nor replace one.
resource "google_storage_bucket_iam_member" "builder_adds_sbom" {
  bucket = google_storage_bucket.deployment.name
  role   = "roles/storage.objectCreator"
  member = var.builder_member

  condition {
    title      = "sbom"
    expression = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.deployment.name}/objects/sbom/\")"
  }
}

# What a deployment does and no more: it cannot open a door (setIamPolicy), make a service or delete one. roles/run.developer
# could create and delete; roles/run.admin could grant everybody everything.
resource "google_project_iam_custom_role" "replace_services" {
  project = var.project
  role_id = "pressroomReplaceServices"
  title   = "Pressroom: replace services and run jobs"
  permissions = [
    "run.jobs.get",
    "run.jobs.run",
    "run.jobs.update",
    "run.services.get",
    "run.services.update",
  ]
}

resource "google_cloud_run_v2_service_iam_member" "deployer" {
  for_each = toset(var.services)

  project  = var.project
  location = var.location
  name     = each.value
  role     = google_project_iam_custom_role.replace_services.id
  member   = var.deployer_member
}

resource "google_cloud_run_v2_job_iam_member" "deployer" {
  for_each = toset(var.jobs)

  project  = var.project
  location = var.location
  name     = each.value
  role     = google_project_iam_custom_role.replace_services.id
  member   = var.deployer_member
}

# Workflows has no grants per workflow; this one can give a workflow another source, and neither run nor delete it.
resource "google_project_iam_custom_role" "replace_workflow" {
  project     = var.project
  role_id     = "pressroomReplaceWorkflow"
  title       = "Pressroom: replace the source of the workflow"
  permissions = ["workflows.operations.get", "workflows.workflows.get", "workflows.workflows.update"]
}

resource "google_project_iam_member" "deployer_workflow" {
  project = var.project
  role    = google_project_iam_custom_role.replace_workflow.id
  member  = var.deployer_member
}

# Production asks what serves here, and which workflow, before it runs the same.
resource "google_project_iam_custom_role" "see_release" {
  project     = var.project
  role_id     = "pressroomSeeRelease"
  title       = "Pressroom: see which release serves"
  permissions = ["run.revisions.get", "run.services.get", "workflows.workflows.get"]
}

resource "google_project_iam_member" "promoted_to" {
  count = var.promoted_to == null ? 0 : 1

  project = var.project
  role    = google_project_iam_custom_role.see_release.id
  member  = "serviceAccount:pressroom-deployer@${var.promoted_to.project}.iam.gserviceaccount.com"
}

resource "google_cloudbuild_trigger" "main" {
  count = var.build_repository == "" ? 0 : 1

  project         = var.project
  location        = var.location
  name            = "pressroom-build"
  description     = "Test, build and push what is pushed to main"
  filename        = "cloudbuild.yaml"
  service_account = var.builder_id

  repository_event_config {
    repository = var.build_repository

    push {
      branch = "^main$"
    }
  }

  substitutions = {
    _LOCATION = var.location
  }
}
