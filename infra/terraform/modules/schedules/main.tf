# The schedules of infra/schedules.yaml; the file is read by localcloud too.
locals {
  schedules = {
    for schedule in yamldecode(file("${path.module}/../../../schedules.yaml")).schedules : schedule.name => schedule
  }
}

resource "google_cloud_scheduler_job" "this" {
  for_each = local.schedules

  project          = var.project
  region           = var.location
  name             = each.key
  schedule         = each.value.cron
  time_zone        = each.value.time_zone
  attempt_deadline = each.value.attempt_deadline

  # The next minute is the retry.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = each.value.http_method
    uri         = "${var.urls[each.value.service]}${each.value.path}"

    oidc_token {
      service_account_email = var.emails[each.value.service_account]
      audience              = var.urls[each.value.service]
    }
  }
}
