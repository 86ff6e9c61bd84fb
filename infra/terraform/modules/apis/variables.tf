variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "scan_images" {
  description = "Whether pushed images are scanned for known vulnerabilities."
  type        = bool
}

variable "more_services" {
  description = "Further APIs, of options that are switched on."
  type        = set(string)
}

variable "more_agents" {
  description = "APIs whose agents an option grants something before they have made anything."
  type        = set(string)
}
