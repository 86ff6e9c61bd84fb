# A load balancer with Cloud Armor in front of the public doors, which then admit nothing that does not come through it.
# The candidate of a release has a host name of its own, so that it is tried on the way that clients take.
locals {
  hosts = {
    ingest    = var.domains.ingest
    reporter  = var.domains.reporter
    candidate = "candidate.${var.domains.ingest}"
  }

  backends = {
    ingest    = { service = "ingest", tag = null }
    reporter  = { service = "reporter", tag = null }
    candidate = { service = "ingest", tag = "candidate" }
  }
}

resource "google_compute_global_address" "this" {
  project = var.project
  name    = "pressroom"
}

resource "google_compute_managed_ssl_certificate" "this" {
  project = var.project
  name    = "pressroom"

  managed {
    domains = values(local.hosts)
  }
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project
  name            = "pressroom"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_security_policy" "this" {
  project     = var.project
  name        = "pressroom"
  description = "How often somebody may ask, and what nobody may send"

  rule {
    action      = "deny(403)"
    priority    = 100
    description = "Requests that exploit libraries (Log4j and the like)"

    match {
      expr {
        expression = "evaluatePreconfiguredWaf('cve-canary')"
      }
    }
  }

  # By key: Cloud Armor counts the header's value and does not look into it.
  rule {
    action      = "throttle"
    priority    = 200
    description = "Requests with an API key, by key"

    match {
      expr {
        expression = "has(request.headers['authorization'])"
      }
    }

    rate_limit_options {
      conform_action      = "allow"
      exceed_action       = "deny(429)"
      enforce_on_key      = "HTTP_HEADER"
      enforce_on_key_name = "Authorization"

      rate_limit_threshold {
        count        = var.max_requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    action      = "throttle"
    priority    = 300
    description = "All others, by address"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.max_requests_per_minute
        interval_sec = 60
      }
    }
  }

  # The rule that each policy must have; the one before it has met everybody already.
  rule {
    action      = "allow"
    priority    = 2147483647
    description = "Default"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

resource "google_compute_region_network_endpoint_group" "this" {
  for_each = local.backends

  project               = var.project
  region                = var.location
  name                  = "pressroom-${each.key}"
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = one([for name in var.services : name if name == each.value.service])
    tag     = each.value.tag
  }
}

resource "google_compute_backend_service" "this" {
  for_each = local.backends

  project               = var.project
  name                  = "pressroom-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.this.id

  backend {
    group = google_compute_region_network_endpoint_group.this[each.key].id
  }

  log_config {
    enable      = true
    sample_rate = 0.01
  }
}

resource "google_compute_url_map" "this" {
  project         = var.project
  name            = "pressroom"
  default_service = google_compute_backend_service.this["ingest"].id

  dynamic "host_rule" {
    for_each = local.hosts

    content {
      hosts        = [host_rule.value]
      path_matcher = host_rule.key
    }
  }

  dynamic "path_matcher" {
    for_each = local.hosts

    content {
      name            = path_matcher.key
      default_service = google_compute_backend_service.this[path_matcher.key].id
    }
  }
}

resource "google_compute_target_https_proxy" "this" {
  project          = var.project
  name             = "pressroom"
  url_map          = google_compute_url_map.this.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
  ssl_policy       = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "this" {
  project               = var.project
  name                  = "pressroom"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this.id
}
