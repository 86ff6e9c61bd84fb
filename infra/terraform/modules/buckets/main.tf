# images: what the compressor stores, readable by everybody if wanted. reports: what the reporter writes, private.
# uploads: into which clients upload large sheets by an address that ingest gives them, private, for a week.
# sheets: where operators lay sheets for `gcloud workflows run batch --data='{"csv_uri": ...}'`, private.
locals {
  prefix = "${var.project}-pressroom"
}

resource "google_storage_bucket" "images" {
  #checkov:skip=CKV_GCP_62:Reads are many and harmless; audit logs of Cloud Storage can be switched on where they are wanted.
  #checkov:skip=CKV_GCP_78:Objects are created once and never overwritten; soft delete keeps deleted ones for a week.
  project                     = var.project
  name                        = "${local.prefix}-images"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = var.public_images ? "inherited" : "enforced"
  force_destroy               = var.force_destroy

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  dynamic "lifecycle_rule" {
    for_each = var.images_retention_days == 0 ? [] : [var.images_retention_days]

    content {
      action {
        type = "Delete"
      }

      condition {
        age = lifecycle_rule.value
      }
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 1
    }
  }
}

resource "google_storage_bucket" "reports" {
  #checkov:skip=CKV_GCP_62:Reads are many and harmless; audit logs of Cloud Storage can be switched on where they are wanted.
  #checkov:skip=CKV_GCP_78:Objects are created once and never overwritten; soft delete keeps deleted ones for a week.
  project                     = var.project
  name                        = "${local.prefix}-reports"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = var.reports_retention_days
    }
  }
}

resource "google_storage_bucket" "sheets" {
  #checkov:skip=CKV_GCP_62:Reads are many and harmless; audit logs of Cloud Storage can be switched on where they are wanted.
  #checkov:skip=CKV_GCP_78:Sheets are inputs with a copy at whoever laid them there; soft delete keeps deleted ones for a week.
  project                     = var.project
  name                        = "${local.prefix}-sheets"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = var.sheets_retention_days
    }
  }
}

# A week: as long as an address of a resumable upload works, and more than the deadline of a batch.
resource "google_storage_bucket" "uploads" {
  #checkov:skip=CKV_GCP_62:Objects are read by ingest only, which logs every import.
  #checkov:skip=CKV_GCP_78:Objects are created once and never overwritten.
  project                     = var.project
  name                        = "${local.prefix}-uploads"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age = 7
    }
  }
}

# legacyObjectReader, not objectViewer: whoever knows an image's URL may read it, nobody may list the bucket.
resource "google_storage_bucket_iam_member" "public" {
  count = var.public_images ? 1 : 0

  bucket = google_storage_bucket.images.name
  role   = "roles/storage.legacyObjectReader"
  member = "allUsers"
}

# The compressor's token is what an attack on its fetches would steal: it can add objects and read them (a repeated
# attempt looks for what an earlier one stored), but not overwrite, delete or list. objectCreator has no
# storage.objects.delete, which overwriting needs (https://cloud.google.com/storage/docs/access-control/iam-roles).
resource "google_storage_bucket_iam_member" "compressor_creates_images" {
  bucket = google_storage_bucket.images.name
  role   = "roles/storage.objectCreator"
  member = var.members["compressor"]
}

resource "google_storage_bucket_iam_member" "compressor_reads_images" {
  bucket = google_storage_bucket.images.name
  role   = "roles/storage.legacyObjectReader"
  member = var.members["compressor"]
}

# It shows private images to whoever holds a link; their names it knows from the link.
resource "google_storage_bucket_iam_member" "reporter_reads_images" {
  count = var.public_images ? 0 : 1

  bucket = google_storage_bucket.images.name
  role   = "roles/storage.legacyObjectReader"
  member = var.members["reporter"]
}

resource "google_storage_bucket_iam_member" "reporter_creates_reports" {
  bucket = google_storage_bucket.reports.name
  role   = "roles/storage.objectCreator"
  member = var.members["reporter"]
}

resource "google_storage_bucket_iam_member" "reporter_reads_reports" {
  bucket = google_storage_bucket.reports.name
  role   = "roles/storage.objectViewer"
  member = var.members["reporter"]
}

resource "google_storage_bucket_iam_member" "ingest_reads_sheets" {
  bucket = google_storage_bucket.sheets.name
  role   = "roles/storage.objectViewer"
  member = var.members["ingest"]
}

# It begins the uploads of clients, and cannot overwrite or delete what they have uploaded.
resource "google_storage_bucket_iam_member" "ingest_begins_uploads" {
  bucket = google_storage_bucket.uploads.name
  role   = "roles/storage.objectCreator"
  member = var.members["ingest"]
}

resource "google_storage_bucket_iam_member" "ingest_reads_uploads" {
  bucket = google_storage_bucket.uploads.name
  role   = "roles/storage.objectViewer"
  member = var.members["ingest"]
}
