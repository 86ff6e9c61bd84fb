# Where the three images lie. Skaffold deploys by digest, so a revision means one image whatever its tag does later.
resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:Images hold no secret; a key of one's own is an option (kms_key).
  project       = var.project
  location      = var.location
  repository_id = "pressroom"
  description   = "Images of ingest, compressor and reporter"
  format        = "DOCKER"
  kms_key_name  = var.kms_key

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"

    most_recent_versions {
      keep_count = var.kept_versions
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "7776000s"
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "builder_writes" {
  project    = var.project
  location   = google_artifact_registry_repository.this.location
  repository = google_artifact_registry_repository.this.name
  role       = "roles/artifactregistry.writer"
  member     = var.builder
}

# To look up the digests of a release.
resource "google_artifact_registry_repository_iam_member" "deployer_reads" {
  project    = var.project
  location   = google_artifact_registry_repository.this.location
  repository = google_artifact_registry_repository.this.name
  role       = "roles/artifactregistry.reader"
  member     = var.deployer
}

# The project that takes over what this one ran has no copy of the images: its deployer looks up their digests here, and
# Cloud Run, which pulls as its service agent, keeps what a serving revision needs
# (https://cloud.google.com/run/docs/deploying#images).
resource "google_artifact_registry_repository_iam_member" "promoted_to" {
  for_each = var.promoted_to == null ? toset([]) : toset([
    "serviceAccount:pressroom-deployer@${var.promoted_to.project}.iam.gserviceaccount.com",
    "serviceAccount:service-${var.promoted_to.number}@serverless-robot-prod.iam.gserviceaccount.com",
  ])

  project    = var.project
  location   = google_artifact_registry_repository.this.location
  repository = google_artifact_registry_repository.this.name
  role       = "roles/artifactregistry.reader"
  member     = each.value
}
