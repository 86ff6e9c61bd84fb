variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "location" {
  description = "Region in which the values are kept."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the secrets refuse to be deleted."
  type        = bool
}

variable "members" {
  description = "Account name to IAM member."
  type        = map(string)
}
