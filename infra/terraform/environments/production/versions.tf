terraform {
  required_version = "~> 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8.0"
    }

    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 6.50, < 8.0"
    }
  }

  # The bucket is given by `terraform init -backend-config=bucket=...` (docs/deploy.md).
  backend "gcs" {
    prefix = "pressroom"
  }
}

provider "google" {
  project = var.project
  region  = var.location
}

# Only `google_project_service_identity` comes from it (module apis).
provider "google-beta" {
  project = var.project
  region  = var.location
}

# The budgets API asks which project pays for the call; credentials of a person name none.
provider "google" {
  alias                 = "budgets"
  project               = var.project
  region                = var.location
  billing_project       = var.project
  user_project_override = true
}
