# Secrets without values: `new-secrets` adds the first versions, so that none is in the Terraform state. Each is readable
# by the accounts that need it and by nobody else.
locals {
  readers = {
    "ingest-database-url"     = ["ingest", "migrations"]
    "reporter-database-url"   = ["reporter", "migrations"]
    "download-signing-secret" = ["reporter"]
    "image-link-secret"       = ["ingest", "reporter"]
    "webhook-signing-secret"  = ["reporter"]
    "webhook-endpoint-keys"   = ["reporter"]
    "api-keys"                = ["ingest", "reporter"]
    "smoke-api-key"           = ["deployer"]
  }

  grants = merge([
    for secret, accounts in local.readers : {
      for account in accounts : "${secret} ${account}" => { secret = secret, account = account }
    }
  ]...)
}

resource "google_secret_manager_secret" "this" {
  for_each = local.readers

  project             = var.project
  secret_id           = each.key
  deletion_protection = var.deletion_protection
  version_destroy_ttl = "604800s"

  replication {
    user_managed {
      replicas {
        location = var.location
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.grants

  project   = var.project
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members[each.value.account]
}
