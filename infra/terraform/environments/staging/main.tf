# Staging: what production will run is tried here first, on one sheet or many. The folder `production` has the same shape;
# the two differ in what stands between the lines below. Any other variable of modules/pressroom may be set here too.
module "pressroom" {
  source = "../../modules/pressroom"

  project         = var.project
  location        = var.location
  billing_account = var.billing_account
  alert_email     = var.alert_email
  promoted_to     = var.promoted_to

  # This environment's own.
  size                      = "S"
  database_highly_available = false
  deletion_protection       = false
  monthly_budget            = 100
  images_retention_days     = 7
  # Until here.

  providers = {
    google         = google
    google-beta    = google-beta
    google.budgets = google.budgets
  }
}
