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
