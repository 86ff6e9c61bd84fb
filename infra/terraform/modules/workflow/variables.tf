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

variable "create_tasks_by" {
  description = "How tasks are created: batchCreate (up to 50 by one call), or create (one by one) should that method fail."
  type        = string
  default     = "batchCreate"

  validation {
    condition     = contains(["batchCreate", "create"], var.create_tasks_by)
    error_message = "One of batchCreate and create."
  }
}

variable "deletion_protection" {
  description = "Whether the workflow refuses to be deleted."
  type        = bool
}

variable "kms_key" {
  description = "Key that encrypts at rest; null for Google's own."
  type        = string
}
