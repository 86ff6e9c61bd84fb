terraform {
  # 1.9: input validation may look at other variables.
  required_version = "~> 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8.0"
      # The budgets API asks which project pays for the call.
      configuration_aliases = [google.budgets]
    }

    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 6.50, < 8.0"
    }
  }
}
