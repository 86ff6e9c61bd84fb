variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "location" {
  description = "Region of the repository."
  type        = string
}

variable "kept_versions" {
  description = "Newest images of each service that are never cleaned up; rollbacks reach back this far at least."
  type        = number
  default     = 20
}

variable "deployer" {
  description = "IAM member that looks up the images of a release."
  type        = string
}

variable "builder" {
  description = "IAM member that pushes images."
  type        = string
}

variable "promoted_to" {
  description = "Id and number of the project that takes over what this one ran; null for none."
  type = object({
    project = string
    number  = string
  })
}

variable "kms_key" {
  description = "Key that encrypts at rest; null for Google's own."
  type        = string
}
