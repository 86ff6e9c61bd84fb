locals {
  user = "resource.type=\"cloud_run_revision\" metric.type=\"logging.googleapis.com/user/pressroom"

  charts = [
    { title = "Images a second, by outcome", filter = "${local.user}/images\"", aligner = "ALIGN_RATE", group = "metric.label.code" },
    { title = "Batches ended, by status", filter = "${local.user}/batches\"", aligner = "ALIGN_DELTA", group = "metric.label.status" },
    { title = "Webhook attempts", filter = "${local.user}/deliveries\"", aligner = "ALIGN_DELTA", group = "metric.label.verdict" },
    { title = "Failed executions, by step", filter = "${local.user}/executions_failed\"", aligner = "ALIGN_DELTA", group = "metric.label.step" },
    { title = "Tasks waiting", filter = "metric.type=\"cloudtasks.googleapis.com/queue/depth\" resource.type=\"cloud_tasks_queue\"", aligner = "ALIGN_MEAN", group = "resource.label.queue_id" },
    { title = "Requests a second", filter = "metric.type=\"run.googleapis.com/request_count\" resource.type=\"cloud_run_revision\"", aligner = "ALIGN_RATE", group = "resource.label.service_name" },
    { title = "Instances", filter = "metric.type=\"run.googleapis.com/container/instance_count\" resource.type=\"cloud_run_revision\"", aligner = "ALIGN_MAX", group = "resource.label.service_name" },
    { title = "Database connections", filter = "metric.type=\"cloudsql.googleapis.com/database/postgresql/num_backends\" resource.type=\"cloudsql_database\"", aligner = "ALIGN_MAX", group = "metric.label.database" },
    { title = "Database processor", filter = "metric.type=\"cloudsql.googleapis.com/database/cpu/utilization\" resource.type=\"cloudsql_database\"", aligner = "ALIGN_MEAN", group = "resource.label.database_id" },
  ]
}

resource "google_monitoring_dashboard" "this" {
  project = var.project

  dashboard_json = jsonencode({
    displayName = "Pressroom"
    mosaicLayout = {
      columns = 12
      tiles = [
        for index, chart in local.charts : {
          xPos   = (index % 3) * 4
          yPos   = floor(index / 3) * 4
          width  = 4
          height = 4
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [{
                plotType = "LINE"
                timeSeriesQuery = {
                  timeSeriesFilter = {
                    filter = chart.filter
                    aggregation = {
                      alignmentPeriod    = "60s"
                      perSeriesAligner   = chart.aligner
                      crossSeriesReducer = "REDUCE_SUM"
                      groupByFields      = [chart.group]
                    }
                  }
                }
              }]
            }
          }
        }
      ]
    }
  })

  depends_on = [google_logging_metric.this]
}
