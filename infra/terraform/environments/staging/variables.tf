variable "project" {
  description = "Id of the Google Cloud project, with billing; best one of its own."
  type        = string
}

variable "location" {
  description = "Region of everything, the same for staging and production."
  type        = string
}

variable "billing_account" {
  description = "Id of the billing account (000000-000000-000000), for the budget; empty when somebody else watches what the project costs."
  type        = string
}

variable "alert_email" {
  description = "Where alerts go."
  type        = string
}

variable "promoted_to" {
  description = "In staging: id and number of production's project, once that is there. It may then look at what staging runs, and run its images."
  type = object({
    project = string
    number  = string
  })
  default = null
}
