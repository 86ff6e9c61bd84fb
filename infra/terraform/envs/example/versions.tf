terraform {
  # 1.9: input validation may look at other variables.
  required_version = "~> 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
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
