variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "location" {
  description = "Region of the services."
  type        = string
}

variable "domains" {
  description = "Host names of the public doors."
  type = object({
    ingest   = string
    reporter = string
  })
}

variable "max_requests_per_minute" {
  description = "Requests that a key, or an address without one, may make in a minute; Cloud Armor refuses more."
  type        = number
}

variable "services" {
  description = "Names of the Cloud Run services, so that they are there first."
  type        = list(string)
}
