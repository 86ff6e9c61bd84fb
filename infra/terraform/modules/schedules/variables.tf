variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "location" {
  description = "Region of the schedules."
  type        = string
}

variable "urls" {
  description = "Service name to root URL."
  type        = map(string)
}

variable "emails" {
  description = "Account name to email."
  type        = map(string)
}
