variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "location" {
  description = "Region of the workflow."
  type        = string
}

variable "service_account" {
  description = "Resource id of the account the workflow runs as."
  type        = string
}

variable "urls" {
  description = "Service name to root URL."
  type        = map(string)
}

variable "images_queue" {
  description = "Full name of the queue of compressions."
  type        = string
}

variable "tasks_service_account" {
  description = "Email of the account that Cloud Tasks calls the compressor as."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the workflow refuses to be deleted."
  type        = bool
}
