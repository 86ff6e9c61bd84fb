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

variable "notification_channels" {
  description = "Resource names of further channels that alerts go to, e.g. of a pager."
  type        = list(string)
}

variable "runbook_url" {
  description = "Where docs/operate.md can be read; alerts link to its headings. Empty for none."
  type        = string
}

variable "public_hosts" {
  description = "Host names of the public doors, by service; looked at from outside every five minutes."
  type        = map(string)
}
