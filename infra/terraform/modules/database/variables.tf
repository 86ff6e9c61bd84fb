variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "location" {
  description = "Region of the instance."
  type        = string
}

variable "instance" {
  description = "Name of the instance."
  type        = string
}

variable "tier" {
  description = "Machine type, db-custom-CPUS-MEGABYTES."
  type        = string
}

variable "highly_available" {
  description = "Whether a standby in another zone takes over; doubles the price of the instance."
  type        = bool
}

variable "max_connections" {
  description = "PostgreSQL's max_connections."
  type        = number
}

variable "disk_limit_gb" {
  description = "Size to which the disk may grow by itself, in GB."
  type        = number
  default     = 200
}

variable "deletion_protection" {
  description = "Whether instance and databases refuse to be deleted."
  type        = bool
}

variable "backup_location" {
  description = "Region or multi-region of the backups; empty for Cloud SQL's choice, the multi-region nearest to the instance."
  type        = string
}

variable "kms_key" {
  description = "Key that encrypts at rest; null for Google's own."
  type        = string
}
