variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "location" {
  description = "Region of the queues."
  type        = string
}

variable "members" {
  description = "Account name to IAM member."
  type        = map(string)
}

variable "rate_limits" {
  description = "Queue id to dispatches per second and at once."
  type = map(object({
    max_dispatches_per_second = number
    max_concurrent_dispatches = number
  }))
}
