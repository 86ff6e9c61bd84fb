variable "project" {
  description = "Id of the Google Cloud project; bucket names begin with it."
  type        = string
}

variable "location" {
  description = "Region of the buckets."
  type        = string
}

variable "public_images" {
  description = "Whether anybody may read a compressed image by its URL. When false, the reporter shows images to whoever holds a link that has not expired."
  type        = bool
}

variable "images_retention_days" {
  description = "Days until a compressed image is deleted; 0 keeps images for ever."
  type        = number
}

variable "reports_retention_days" {
  description = "Days until a report is deleted."
  type        = number
}

variable "sheets_retention_days" {
  description = "Days until a sheet in the sheets bucket is deleted."
  type        = number
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete buckets that hold objects."
  type        = bool
}

variable "members" {
  description = "Account name to IAM member."
  type        = map(string)
}

variable "kms_key" {
  description = "Key that encrypts at rest; null for Google's own."
  type        = string
}
