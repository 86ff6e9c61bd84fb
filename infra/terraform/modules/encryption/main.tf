# Customer-managed encryption: the agents that write to disk for us may use the key. Whoever takes the key away takes the
# data away. Sheets, reports, images, database, images of containers and executions are encrypted with it; tasks are not
# (the provider has no resource for it: `gcloud tasks cmek-config update`), nor are secrets, which Google's own keys encrypt.
locals {
  agents = {
    database = "serviceAccount:service-${var.project_number}@gcp-sa-cloud-sql.iam.gserviceaccount.com"
    registry = "serviceAccount:service-${var.project_number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    storage  = data.google_storage_project_service_account.this.member
    workflow = "serviceAccount:service-${var.project_number}@gcp-sa-workflows.iam.gserviceaccount.com"
  }
}

# Asking for it makes it.
data "google_storage_project_service_account" "this" {
  project = var.project
}

resource "google_kms_crypto_key_iam_member" "this" {
  for_each = local.agents

  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
