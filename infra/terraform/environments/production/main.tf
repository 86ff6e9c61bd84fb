# Production: it runs what staging ran. The folder `staging` has the same shape; the two differ in what stands between the
# lines below. Any other variable of modules/pressroom may be set here too.
module "pressroom" {
  source = "../../modules/pressroom"

  project         = var.project
  location        = var.location
  billing_account = var.billing_account
  alert_email     = var.alert_email
  promoted_to     = var.promoted_to

  # This environment's own.
  size                      = "S"
  database_highly_available = true
  deletion_protection       = true
  monthly_budget            = 250
  images_retention_days     = 0
  # Until here.

  providers = {
    google         = google
    google-beta    = google-beta
    google.budgets = google.budgets
  }
}
