# What Cloud Build needs to deploy: a bucket with the manifests' values, and the right to replace the five things that
# Terraform made. On each of them and not on the project, so a build cannot add a service of its own.
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

# run.admin, because replacing a service whose IAM check is off asks for run.services.setIamPolicy.
resource "google_cloud_run_v2_service_iam_member" "deployer" {
  for_each = toset(var.services)

  project  = var.project
  location = var.location
  name     = each.value
  role     = "roles/run.admin"
  member   = var.deployer_member
}

resource "google_cloud_run_v2_job_iam_member" "deployer" {
  for_each = toset(var.jobs)

  project  = var.project
  location = var.location
  name     = each.value
  role     = "roles/run.admin"
  member   = var.deployer_member
}

resource "google_cloudbuild_trigger" "main" {
  count = var.build_repository == "" ? 0 : 1

  project         = var.project
  location        = var.location
  name            = "pressroom-main"
  description     = "Test, build and deploy what is pushed to main"
  filename        = "cloudbuild.yaml"
  service_account = var.deployer_id

  repository_event_config {
    repository = var.build_repository

    push {
      branch = "^main$"
    }
  }

  substitutions = {
    _LOCATION = var.location
    _PROFILE  = "prod"
  }
}
