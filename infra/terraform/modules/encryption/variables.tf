variable "project_number" {
  description = "Number of the Google Cloud project; part of the service agents' names."
  type        = string
}

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "kms_key" {
  description = "projects/P/locations/L/keyRings/R/cryptoKeys/K, in the region of everything."
  type        = string
}
