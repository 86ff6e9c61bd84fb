# Each alert says what to do: the heading of docs/operate.md that it names.
locals {
  run = "resource.type = \"cloud_run_revision\""

  alerts = {
    crashes = {
      title     = "A service crashed on a request or was refused by storage"
      severity  = "ERROR"
      runbook   = "Errors in the logs"
      filter    = "${local.run} AND metric.type = \"logging.googleapis.com/user/pressroom/crashes\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      group_by  = ["metric.label.service"]
      period    = "300s"
      threshold = 0
      duration  = "0s"
    }
    executions_failed = {
      title     = "Workflow executions fail"
      severity  = "ERROR"
      runbook   = "A batch is stuck"
      filter    = "${local.run} AND metric.type = \"logging.googleapis.com/user/pressroom/executions_failed\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      group_by  = ["metric.label.step"]
      period    = "900s"
      threshold = 3
      duration  = "0s"
    }
    internal_refused = {
      title     = "Calls of our own parts are refused"
      severity  = "ERROR"
      runbook   = "Our own calls are refused"
      filter    = "${local.run} AND metric.type = \"logging.googleapis.com/user/pressroom/internal_refused\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      group_by  = ["metric.label.service"]
      period    = "300s"
      threshold = 10
      duration  = "0s"
    }
    schedules_failed = {
      title     = "A schedule fails"
      severity  = "ERROR"
      runbook   = "The sweep does not run"
      filter    = "resource.type = \"cloud_scheduler_job\" AND metric.type = \"logging.googleapis.com/user/pressroom/schedules_failed\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      group_by  = ["metric.label.job"]
      period    = "600s"
      threshold = 4
      duration  = "0s"
    }
    batches_failed = {
      title     = "Batches end as FAILED"
      severity  = "WARNING"
      runbook   = "A batch is stuck"
      filter    = "${local.run} AND metric.type = \"logging.googleapis.com/user/pressroom/batches\" AND metric.labels.status = \"FAILED\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      group_by  = ["metric.label.status"]
      period    = "3600s"
      threshold = 5
      duration  = "0s"
    }
    webhooks_failed = {
      title     = "Webhooks are given up"
      severity  = "WARNING"
      runbook   = "Webhooks fail"
      filter    = "${local.run} AND metric.type = \"logging.googleapis.com/user/pressroom/deliveries\" AND metric.labels.verdict = \"GivenUp\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      group_by  = ["metric.label.verdict"]
      period    = "3600s"
      threshold = 10
      duration  = "0s"
    }
    uploads_slow = {
      title     = "One upload in twenty takes more than 30 seconds"
      severity  = "WARNING"
      runbook   = "Requests are slow"
      filter    = "${local.run} AND metric.type = \"logging.googleapis.com/user/pressroom/latency\" AND metric.labels.route = \"/upload\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_PERCENTILE_95"
      group_by  = ["metric.label.route"]
      period    = "300s"
      threshold = 30000
      duration  = "600s"
    }
    work_slow = {
      title     = "One claim or outcome in twenty takes more than 2 seconds"
      severity  = "WARNING"
      runbook   = "Requests are slow"
      filter    = "${local.run} AND metric.type = \"logging.googleapis.com/user/pressroom/latency\" AND metric.labels.route != \"/upload\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_PERCENTILE_95"
      group_by  = ["metric.label.route"]
      period    = "300s"
      threshold = 2000
      duration  = "600s"
    }
    # The lease of an image ends after INGEST_LEASE_S, which is as long: its task would be done for nothing.
    tasks_late = {
      title     = "One task in twenty starts more than 15 minutes late"
      severity  = "ERROR"
      runbook   = "The queue is too fast or too slow"
      filter    = "resource.type = \"cloud_tasks_queue\" AND metric.type = \"cloudtasks.googleapis.com/queue/task_attempt_delays\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_PERCENTILE_95"
      group_by  = ["resource.label.queue_id"]
      period    = "300s"
      threshold = 900000
      duration  = "300s"
    }
    server_errors = {
      title     = "More than one answer in ten seconds is a server error"
      severity  = "WARNING"
      runbook   = "Errors in the logs"
      filter    = "${local.run} AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      aligner   = "ALIGN_RATE"
      reducer   = "REDUCE_SUM"
      group_by  = ["resource.label.service_name"]
      period    = "300s"
      threshold = 0.1
      duration  = "600s"
    }
    queue_backlog = {
      title     = "Tasks wait in a queue"
      severity  = "WARNING"
      runbook   = "The queue is too fast or too slow"
      filter    = "resource.type = \"cloud_tasks_queue\" AND metric.type = \"cloudtasks.googleapis.com/queue/depth\""
      aligner   = "ALIGN_MIN"
      reducer   = "REDUCE_SUM"
      group_by  = ["resource.label.queue_id"]
      period    = "300s"
      threshold = 5000
      duration  = "900s"
    }
    database_connections = {
      title     = "The database is running out of connections"
      severity  = "ERROR"
      runbook   = "The database is full or slow"
      filter    = "resource.type = \"cloudsql_database\" AND resource.labels.database_id = \"${var.project}:${var.database_instance}\" AND metric.type = \"cloudsql.googleapis.com/database/postgresql/num_backends\""
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_SUM"
      group_by  = ["resource.label.database_id"]
      period    = "60s"
      threshold = floor(var.database_max_connections * 0.8)
      duration  = "120s"
    }
    database_disk = {
      title     = "The database's disk is filling up"
      severity  = "ERROR"
      runbook   = "The database is full or slow"
      filter    = "resource.type = \"cloudsql_database\" AND resource.labels.database_id = \"${var.project}:${var.database_instance}\" AND metric.type = \"cloudsql.googleapis.com/database/disk/utilization\""
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_MAX"
      group_by  = ["resource.label.database_id"]
      period    = "300s"
      threshold = 0.85
      duration  = "900s"
    }
    database_processor = {
      title     = "The database's processor is busy"
      severity  = "WARNING"
      runbook   = "The database is full or slow"
      filter    = "resource.type = \"cloudsql_database\" AND resource.labels.database_id = \"${var.project}:${var.database_instance}\" AND metric.type = \"cloudsql.googleapis.com/database/cpu/utilization\""
      aligner   = "ALIGN_MEAN"
      reducer   = "REDUCE_MAX"
      group_by  = ["resource.label.database_id"]
      period    = "300s"
      threshold = 0.9
      duration  = "900s"
    }
  }
}

locals {
  channels = concat([google_monitoring_notification_channel.email.id], var.notification_channels)
}

resource "google_monitoring_notification_channel" "email" {
  project      = var.project
  display_name = "Pressroom operators"
  type         = "email"
  labels       = { email_address = var.alert_email }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.alerts

  project               = var.project
  display_name          = "Pressroom: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration

      aggregations {
        alignment_period     = each.value.period
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
        group_by_fields      = each.value.group_by
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "docs/operate.md, \"${each.value.runbook}\""

    dynamic "links" {
      for_each = var.runbook_url == "" ? [] : [each.value.runbook]

      content {
        display_name = links.value
        url          = "${var.runbook_url}#${lower(replace(links.value, " ", "-"))}"
      }
    }
  }

  alert_strategy {
    auto_close = "3600s"
  }

  depends_on = [google_logging_metric.this]
}

# What notices everything else that got lost is itself noticed by its silence.
locals {
  sweeps = {
    ingest   = { finds = "lost hints of batches" }
    reporter = { finds = "lost deliveries" }
  }
}

resource "google_monitoring_alert_policy" "sweep_silent" {
  for_each = local.sweeps

  project               = var.project
  display_name          = "Pressroom: the sweep of ${each.key} has not looked for ${each.value.finds} for ten minutes"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "No sweep"

    condition_absent {
      filter   = "${local.run} AND metric.type = \"logging.googleapis.com/user/pressroom/sweeps\" AND metric.labels.service = \"${each.key}\""
      duration = "600s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "docs/operate.md, \"The sweep does not run\""

    dynamic "links" {
      for_each = var.runbook_url == "" ? [] : ["The sweep does not run"]

      content {
        display_name = links.value
        url          = "${var.runbook_url}#${lower(replace(links.value, " ", "-"))}"
      }
    }
  }

  depends_on = [google_logging_metric.this]
}
