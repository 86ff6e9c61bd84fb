variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "scan_images" {
  description = "Whether pushed images are scanned for known vulnerabilities."
  type        = bool
}
