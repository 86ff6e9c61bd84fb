# What clients are promised, and how fast the promise is being used up. An objective is a share of requests in 28 days; an
# alert says that an hour, or six, used more of what may fail than it should (https://sre.google/workbook/alerting-on-slos/).
locals {
  objectives = {
    uploads   = { title = "Clients are answered: uploads, status", service = "ingest", goal = 0.995 }
    work      = { title = "Claims and outcomes are taken", service = "ingest-internal", goal = 0.99 }
    downloads = { title = "Reports and private images are given out", service = "reporter", goal = 0.995 }
  }

  # Of what may fail in 28 days, 2 % in an hour or 5 % in six hours.
  burns = {
    fast = { window = "3600s", rate = 13.4, severity = "ERROR" }
    slow = { window = "21600s", rate = 5.6, severity = "WARNING" }
  }

  burn_alerts = merge([
    for objective in keys(local.objectives) : {
      for burn in keys(local.burns) : "${objective} ${burn}" => { objective = objective, burn = burn }
    }
  ]...)
}

resource "google_monitoring_custom_service" "pressroom" {
  project      = var.project
  service_id   = "pressroom"
  display_name = "Pressroom"
}

resource "google_monitoring_slo" "this" {
  for_each = local.objectives

  project             = var.project
  service             = google_monitoring_custom_service.pressroom.service_id
  slo_id              = each.key
  display_name        = each.value.title
  goal                = each.value.goal
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      total_service_filter = "${local.run} AND resource.labels.service_name = \"${each.value.service}\" AND metric.type = \"run.googleapis.com/request_count\""
      bad_service_filter   = "${local.run} AND resource.labels.service_name = \"${each.value.service}\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
    }
  }
}

resource "google_monitoring_alert_policy" "burn" {
  for_each = local.burn_alerts

  project               = var.project
  display_name          = "Pressroom: ${local.objectives[each.value.objective].title}: too few (${each.value.burn})"
  combiner              = "OR"
  severity              = local.burns[each.value.burn].severity
  notification_channels = local.channels

  conditions {
    display_name = "Burn rate of ${each.value.objective}"

    condition_threshold {
      filter          = "select_slo_burn_rate(\"${google_monitoring_slo.this[each.value.objective].name}\", \"${local.burns[each.value.burn].window}\")"
      comparison      = "COMPARISON_GT"
      threshold_value = local.burns[each.value.burn].rate
      duration        = "0s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "docs/operate.md, \"Errors in the logs\""

    dynamic "links" {
      for_each = var.runbook_url == "" ? [] : ["Errors in the logs"]

      content {
        display_name = links.value
        url          = "${var.runbook_url}#${lower(replace(links.value, " ", "-"))}"
      }
    }
  }

  alert_strategy {
    auto_close = "3600s"
  }
}

# From outside, as a client comes: name, certificate, front door and process.
resource "google_monitoring_uptime_check_config" "public" {
  for_each = var.public_hosts

  project      = var.project
  display_name = "Pressroom: ${each.key} answers"
  timeout      = "10s"
  period       = "300s"

  http_check {
    path         = "/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = each.value }
  }
}

resource "google_monitoring_alert_policy" "unreachable" {
  for_each = var.public_hosts

  project               = var.project
  display_name          = "Pressroom: ${each.key} cannot be reached from outside"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels

  conditions {
    display_name = "Uptime check of ${each.key}"

    condition_threshold {
      filter          = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.public[each.key].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "300s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "docs/operate.md, \"Errors in the logs\""

    dynamic "links" {
      for_each = var.runbook_url == "" ? [] : ["Errors in the logs"]

      content {
        display_name = links.value
        url          = "${var.runbook_url}#${lower(replace(links.value, " ", "-"))}"
      }
    }
  }

  alert_strategy {
    auto_close = "3600s"
  }
}
