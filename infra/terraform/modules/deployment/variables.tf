variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "location" {
  description = "Region of builds and services."
  type        = string
}

variable "builder_member" {
  description = "IAM member that Cloud Build tests and builds as."
  type        = string
}

variable "deployer_member" {
  description = "IAM member that Cloud Build deploys as."
  type        = string
}

variable "builder_id" {
  description = "Resource id of the account that Cloud Build tests and builds as."
  type        = string
}

variable "manifest_values" {
  description = "What infra/cloudrun/render.py fills into the manifests."
  type        = map(string)
}

variable "services" {
  description = "Names of the Cloud Run services that builds replace."
  type        = list(string)
}

variable "jobs" {
  description = "Names of the Cloud Run jobs that builds replace and run."
  type        = list(string)
}

variable "build_repository" {
  description = "Resource name of a Cloud Build repository (second generation) whose branch main is built; empty for none."
  type        = string
}

variable "promoted_to" {
  description = "Id and number of the project that takes over what this one ran; null for none."
  type = object({
    project = string
    number  = string
  })
}
