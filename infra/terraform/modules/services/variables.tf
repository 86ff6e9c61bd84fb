variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "project_number" {
  description = "Number of the Google Cloud project; part of the services' addresses."
  type        = string
}

variable "location" {
  description = "Region of the services and jobs."
  type        = string
}

variable "deletion_protection" {
  description = "Whether services and jobs refuse to be deleted."
  type        = bool
}

variable "emails" {
  description = "Account name to email."
  type        = map(string)
}

variable "members" {
  description = "Account name to IAM member."
  type        = map(string)
}

variable "settings" {
  description = "What operators may set of the running services."
  type = object({
    log_level               = string
    trace_sample_ratio      = number
    webhook_url             = string
    public_without_keys     = bool
    max_requests_per_minute = number
    domains = object({
      ingest   = string
      reporter = string
    })
    public_images        = bool
    ingest_min_instances = number
    max_instances        = map(number)
    rows_retention_days  = number
    secret_versions      = map(string)
  })
}

variable "database_connection" {
  description = "Connection name of the Cloud SQL instance."
  type        = string
}

variable "buckets" {
  description = "Bucket names by what they hold."
  type        = map(string)
}

variable "queues" {
  description = "Queue id to full name."
  type        = map(string)
}
