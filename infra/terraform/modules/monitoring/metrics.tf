# Numbers made of the services' own log events (docs/glossary.md); an event is the field `message` of a JSON line. And of
# two logs of Google's: what Cloud Run's IAM refuses never reaches a service, nor does a schedule that fails.
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
    latency = {
      description = "Time of a request for what clients and batches wait for"
      filter      = "jsonPayload.message=\"request.served\" jsonPayload.code<500 jsonPayload.route=(\"/upload\" OR \"/internal/batches/<request_id>/claim\" OR \"/internal/images/<image_id>/outcome\")"
      labels      = { route = "route" }
      value       = "elapsed_ms"
    }
    crashes = {
      description = "What a human must look at"
      filter      = "jsonPayload.message=(\"request.crashed\" OR \"storage.refused\")"
      labels      = { service = "service" }
    }
  }

  google_metrics = {
    internal_refused = {
      description = "Calls of the internal doors that IAM or the service refused"
      filter      = "resource.type=\"cloud_run_revision\" log_id(\"run.googleapis.com/requests\") resource.labels.service_name=(\"ingest-internal\" OR \"reporter-internal\" OR \"compressor\") httpRequest.status=(401 OR 403)"
      labels      = { service = "EXTRACT(resource.labels.service_name)" }
      value       = null
    }
    schedules_failed = {
      description = "Runs of a schedule that failed"
      filter      = "resource.type=\"cloud_scheduler_job\" severity>=ERROR"
      labels      = { job = "EXTRACT(resource.labels.job_id)" }
      value       = null
    }
  }

  all_metrics = merge(local.google_metrics, {
    for name, metric in local.metrics : name => {
      description = metric.description
      filter      = "resource.type=\"cloud_run_revision\" ${metric.filter}"
      labels      = { for label, field in metric.labels : label => "EXTRACT(jsonPayload.${field})" }
      # What is measured in each line; without it lines are counted.
      value = can(metric.value) ? "EXTRACT(jsonPayload.${metric.value})" : null
    }
  })
}

resource "google_logging_metric" "this" {
  for_each = local.all_metrics

  project     = var.project
  name        = "pressroom/${each.key}"
  description = each.value.description
  filter      = each.value.filter

  label_extractors = each.value.labels
  value_extractor  = each.value.value

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = each.value.value == null ? "INT64" : "DISTRIBUTION"
    unit        = each.value.value == null ? "1" : "ms"

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  dynamic "bucket_options" {
    for_each = each.value.value == null ? [] : ["1 ms to 9 minutes"]

    content {
      exponential_buckets {
        num_finite_buckets = 38
        growth_factor      = 1.414
        scale              = 1
      }
    }
  }
}
