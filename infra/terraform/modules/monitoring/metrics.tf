# Numbers made of the services' own log events (docs/glossary.md). An event is the field `message` of a JSON line.
locals {
  metrics = {
    images = {
      description = "Attempts at images by outcome"
      filter      = "jsonPayload.message=(\"image.compressed\" OR \"image.failed\")"
      labels      = { event = "message", code = "code" }
    }
    batches = {
      description = "Batches that ended, by status"
      filter      = "jsonPayload.message=\"batch.finished\""
      labels      = { status = "status" }
    }
    executions_failed = {
      description = "Workflow executions that recorded a failed step"
      filter      = "jsonPayload.message=\"execution.failed\""
      labels      = { step = "step" }
    }
    deliveries = {
      description = "Webhook attempts by what follows from them"
      filter      = "jsonPayload.message=\"delivery.attempted\""
      labels      = { verdict = "verdict" }
    }
    sweeps = {
      description = "Sweeps that ended well"
      filter      = "jsonPayload.message=\"request.served\" jsonPayload.route=\"/internal/sweep\" jsonPayload.code=200"
      labels      = { service = "service" }
    }
    crashes = {
      description = "What a human must look at"
      filter      = "jsonPayload.message=(\"request.crashed\" OR \"storage.refused\")"
      labels      = { service = "service" }
    }
  }
}

resource "google_logging_metric" "this" {
  for_each = local.metrics

  project     = var.project
  name        = "pressroom/${each.key}"
  description = each.value.description
  filter      = "resource.type=\"cloud_run_revision\" ${each.value.filter}"

  label_extractors = { for label, field in each.value.labels : label => "EXTRACT(jsonPayload.${field})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }
}
