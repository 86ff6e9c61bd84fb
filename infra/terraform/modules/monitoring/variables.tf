variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "alert_email" {
  description = "Where alerts go."
  type        = string
}

variable "database_instance" {
  description = "Name of the Cloud SQL instance."
  type        = string
}

variable "database_max_connections" {
  description = "PostgreSQL's max_connections; the alert is at 80 % of it."
  type        = number
}
