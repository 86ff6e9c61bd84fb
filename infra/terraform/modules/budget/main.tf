# Tells operators what the project is costing before the month is over. A budget stops nothing: quotas and API keys do.
resource "google_billing_budget" "project" {
  billing_account = var.billing_account
  display_name    = "Pressroom ${var.project}"

  budget_filter {
    projects        = ["projects/${var.project_number}"]
    calendar_period = "MONTH"
  }

  # In the currency of the billing account.
  amount {
    specified_amount {
      units = tostring(var.monthly_amount)
    }
  }

  threshold_rules {
    threshold_percent = 0.5
  }

  threshold_rules {
    threshold_percent = 0.9
  }

  threshold_rules {
    threshold_percent = 1.0
  }

  # What the month will have cost if it goes on like this.
  threshold_rules {
    threshold_percent = 1.2
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = var.notification_channels
  }
}
