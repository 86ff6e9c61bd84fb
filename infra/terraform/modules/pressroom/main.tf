# All of Pressroom in one project; the folders of `environments` call it with what is theirs (docs/deploy.md).
locals {
  # Null where Google's own keys encrypt; else the key, once the agents may use it.
  kms_key = one(module.encryption[*].kms_key)

  size = yamldecode(file("${path.module}/../../../sizes.yaml")).sizes[var.size]
}

data "google_project" "this" {
  project_id = var.project

  depends_on = [module.apis]
}

module "apis" {
  source      = "../apis"
  project     = var.project
  scan_images = var.scan_images

  more_services = toset(concat(
    var.domains == null ? [] : ["compute.googleapis.com"],
    var.kms_key == null ? [] : ["cloudkms.googleapis.com"],
  ))
  more_agents = var.kms_key == null ? toset([]) : toset(["artifactregistry.googleapis.com", "sqladmin.googleapis.com"])
}

module "encryption" {
  source         = "../encryption"
  count          = var.kms_key == null ? 0 : 1
  project        = var.project
  project_number = data.google_project.this.number
  kms_key        = var.kms_key

  depends_on = [module.apis]
}

module "accounts" {
  source  = "../accounts"
  project = var.project

  depends_on = [module.apis]
}

module "registry" {
  source   = "../registry"
  project  = var.project
  kms_key  = local.kms_key
  location = var.location
  builder  = module.accounts.members["builder"]
  deployer = module.accounts.members["deployer"]

  promoted_to = var.promoted_to

  depends_on = [module.apis]
}

module "buckets" {
  source                 = "../buckets"
  project                = var.project
  kms_key                = local.kms_key
  location               = var.location
  public_images          = var.public_images
  images_retention_days  = var.images_retention_days
  reports_retention_days = var.reports_retention_days
  sheets_retention_days  = var.sheets_retention_days
  force_destroy          = !var.deletion_protection
  members                = module.accounts.members

  depends_on = [module.apis]
}

module "database" {
  source              = "../database"
  project             = var.project
  kms_key             = local.kms_key
  location            = var.location
  instance            = var.database_instance
  tier                = local.size.database.tier
  max_connections     = local.size.database.max_connections
  highly_available    = var.database_highly_available
  backup_location     = var.backup_location
  deletion_protection = var.deletion_protection

  depends_on = [module.apis]
}

module "secrets" {
  source              = "../secrets"
  project             = var.project
  location            = var.location
  deletion_protection = var.deletion_protection
  members             = module.accounts.members

  depends_on = [module.apis]
}

module "queues" {
  source      = "../queues"
  project     = var.project
  location    = var.location
  members     = module.accounts.members
  rate_limits = local.size.queues

  depends_on = [module.apis]
}

module "services" {
  source              = "../services"
  project             = var.project
  project_number      = data.google_project.this.number
  location            = var.location
  deletion_protection = var.deletion_protection
  emails              = module.accounts.emails
  members             = module.accounts.members
  database_connection = module.database.connection_name
  buckets             = module.buckets.names
  queues              = module.queues.names

  settings = {
    log_level               = var.log_level
    trace_sample_ratio      = var.trace_sample_ratio
    webhook_url             = var.webhook_url
    public_without_keys     = var.public_without_keys
    max_requests_per_minute = var.max_requests_per_minute
    public_images           = var.public_images
    ingest_min_instances    = var.ingest_min_instances
    max_instances           = local.size.instances
    rows_retention_days     = var.rows_retention_days
    domains                 = var.domains
    secret_versions         = merge({ for id in module.secrets.ids : id => "1" }, var.secret_versions)
  }

  depends_on = [module.apis]
}

module "edge" {
  source                  = "../edge"
  count                   = var.domains == null ? 0 : 1
  project                 = var.project
  location                = var.location
  domains                 = var.domains
  max_requests_per_minute = var.max_requests_per_minute
  services                = module.services.services

  depends_on = [module.apis]
}

module "workflow" {
  source              = "../workflow"
  project             = var.project
  kms_key             = local.kms_key
  location            = var.location
  service_account     = module.accounts.ids["workflow"]
  urls                = module.services.urls
  images_queue        = module.queues.names["images"]
  deletion_protection = var.deletion_protection

  depends_on = [module.apis]
}

module "schedules" {
  source   = "../schedules"
  project  = var.project
  location = var.location
  urls     = module.services.urls
  emails   = module.accounts.emails

  depends_on = [module.apis]
}

module "deployment" {
  source           = "../deployment"
  project          = var.project
  location         = var.location
  deployer_member  = module.accounts.members["deployer"]
  builder_member   = module.accounts.members["builder"]
  builder_id       = module.accounts.ids["builder"]
  manifest_values  = module.services.manifest_values
  promoted_to      = var.promoted_to
  services         = module.services.services
  jobs             = module.services.jobs
  build_repository = var.build_repository
}

module "monitoring" {
  source                   = "../monitoring"
  project                  = var.project
  alert_email              = var.alert_email
  notification_channels    = var.alert_channels
  runbook_url              = var.runbook_url
  public_hosts             = { for name in ["ingest", "reporter"] : name => trimprefix(module.services.urls[name], "https://") }
  database_instance        = module.database.instance
  database_max_connections = module.database.max_connections

  depends_on = [module.apis]
}

module "budget" {
  source                = "../budget"
  count                 = var.billing_account == "" ? 0 : 1
  project               = var.project
  project_number        = data.google_project.this.number
  billing_account       = var.billing_account
  monthly_amount        = var.monthly_budget
  notification_channels = module.monitoring.notification_channels

  providers = {
    google = google.budgets
  }

  depends_on = [module.apis]
}
