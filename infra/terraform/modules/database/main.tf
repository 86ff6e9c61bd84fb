# One PostgreSQL instance with a database per service. It has a public address that admits nobody: no network is
# authorised and only Cloud SQL connectors (mutual TLS, IAM) get in. Users and passwords are made by `new-secrets`,
# so that no password is in the Terraform state.
resource "google_sql_database_instance" "this" {
  #checkov:skip=CKV_GCP_60:The public address admits connectors only (connector_enforcement); a private one needs a VPC.
  #checkov:skip=CKV_GCP_79:The major version is the one that the tests run on.
  #checkov:skip=CKV_GCP_52:Instances come and go by the minute; insights and num_backends tell of connections.
  #checkov:skip=CKV_GCP_53:As CKV_GCP_52.
  #checkov:skip=CKV_GCP_108:There are no host names behind connectors.
  #checkov:skip=CKV_GCP_109:PostgreSQL's default (error) holds.
  #checkov:skip=CKV_GCP_110:The services are the only users of the database; what they do is in their own logs.
  #checkov:skip=CKV_GCP_111:Statements hold customers' addresses, which are not to be logged.
  #checkov:skip=CKV2_GCP_13:Query insights tell of durations without logging statements.
  project             = var.project
  name                = var.instance
  region              = var.location
  database_version    = "POSTGRES_18"
  deletion_protection = var.deletion_protection
  encryption_key_name = var.kms_key

  settings {
    tier                        = var.tier
    edition                     = "ENTERPRISE"
    availability_type           = var.highly_available ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = 10
    disk_autoresize             = true
    disk_autoresize_limit       = var.disk_limit_gb
    connector_enforcement       = "REQUIRED"
    deletion_protection_enabled = var.deletion_protection
    retain_backups_on_delete    = true

    # docs/scaling.md derives it from instances, processes and pools; a test does the sum.
    database_flags {
      name  = "max_connections"
      value = tostring(var.max_connections)
    }

    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }

    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    ip_configuration {
      ipv4_enabled = true
      ssl_mode     = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "03:00"
      location                       = var.backup_location == "" ? null : var.backup_location
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7
    }

    maintenance_window {
      day          = 7
      hour         = 4
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
    }
  }
}

resource "google_sql_database" "this" {
  for_each = toset(["pressroom_ingest", "pressroom_reporter"])

  project         = var.project
  instance        = google_sql_database_instance.this.name
  name            = each.value
  deletion_policy = var.deletion_protection ? "ABANDON" : "DELETE"
}
