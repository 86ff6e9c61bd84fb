variable "project" {
  description = "Id of the Google Cloud project, with billing; best one of its own."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "The id of a project: 6 to 30 small letters, digits and hyphens."
  }
}

variable "location" {
  description = "Region of everything. It must offer Cloud Run, Cloud Tasks, Workflows and Cloud Scheduler."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.location))
    error_message = "A region such as us-central1."
  }
}

variable "alert_email" {
  description = "Where alerts go."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+$", var.alert_email))
    error_message = "An e-mail address."
  }
}

variable "alert_channels" {
  description = "Further Monitoring channels that alerts go to, projects/P/notificationChannels/N: a pager, a chat."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.alert_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", name))])
    error_message = "Each is projects/P/notificationChannels/N."
  }
}

variable "runbook_url" {
  description = "Where your copy of docs/operate.md can be read; alerts link to its headings. Empty for no links."
  type        = string
  default     = ""

  validation {
    condition     = var.runbook_url == "" || can(regex("^https://", var.runbook_url))
    error_message = "Empty or https://..."
  }
}

variable "billing_account" {
  description = "Id of the billing account (000000-000000-000000), for the budget; empty when somebody else watches what the project costs."
  type        = string

  validation {
    condition     = var.billing_account == "" || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "Empty or 000000-000000-000000."
  }
}

variable "monthly_budget" {
  description = "What a month may cost, in whole units of the billing account's currency; operators are told at 50, 90 and 100 % of it."
  type        = number
  default     = 150

  validation {
    condition     = var.monthly_budget >= 1 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "A whole number, 1 or more."
  }
}

variable "scan_images" {
  description = "Whether images are scanned for known vulnerabilities when they are pushed: 0.26 USD each, three a deployment."
  type        = bool
  default     = true
}

variable "public_images" {
  description = "Whether anybody may read a compressed image by its URL: what shops want. When false, links open for IMAGE_LINK_DAYS."
  type        = bool
  default     = false
}

variable "images_retention_days" {
  description = "Days until a compressed image is deleted; 0 keeps images for ever. Equal pictures share an object, so a deleted one may be missed by an older sheet too."
  type        = number
  default     = 0

  validation {
    condition     = var.images_retention_days >= 0 && floor(var.images_retention_days) == var.images_retention_days
    error_message = "A whole number of days; 0 for ever."
  }
}

variable "rows_retention_days" {
  description = "Days after its end for which a batch, and all that the databases know of it, is kept; 0 keeps batches for ever."
  type        = number
  default     = 30

  validation {
    condition     = var.rows_retention_days >= 0 && floor(var.rows_retention_days) == var.rows_retention_days
    error_message = "A whole number of days; 0 for ever."
  }
}

variable "reports_retention_days" {
  description = "Days until a report (output.csv and its fellows) is deleted: longer than the rows that link to it."
  type        = number
  default     = 31

  validation {
    condition     = var.rows_retention_days == 0 || var.reports_retention_days > var.rows_retention_days
    error_message = "Reports must outlive the rows that link to them: more than rows_retention_days."
  }
}

variable "sheets_retention_days" {
  description = "Days until a sheet in the sheets bucket is deleted."
  type        = number
  default     = 30

  validation {
    condition     = var.sheets_retention_days >= 1 && floor(var.sheets_retention_days) == var.sheets_retention_days
    error_message = "A whole number of days, 1 or more."
  }
}

variable "database_instance" {
  description = "Name of the Cloud SQL instance; another one only after a restore into a clone (docs/operate.md)."
  type        = string
  default     = "pressroom"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,83}$", var.database_instance))
    error_message = "Small letters, digits and hyphens, beginning with a letter."
  }
}

variable "size" {
  description = "S, M or L of infra/sizes.yaml: database, connections, instances and queues together."
  type        = string
  default     = "S"

  validation {
    condition     = contains(["S", "M", "L"], var.size)
    error_message = "S, M or L: docs/scaling.md."
  }
}

variable "database_highly_available" {
  description = "Whether a standby in another zone takes over; doubles the price of the instance."
  type        = bool
  default     = false
}

variable "backup_location" {
  description = "Region or multi-region of the database's backups, e.g. another region than `location`; empty for Cloud SQL's choice."
  type        = string
  default     = ""

  validation {
    condition     = var.backup_location == "" || can(regex("^([a-z]+-[a-z]+[0-9]+|us|eu|asia)$", var.backup_location))
    error_message = "Empty, a region such as us-east1, or us, eu, asia."
  }
}

variable "deletion_protection" {
  description = "Whether database, buckets with objects, services, secrets and workflow refuse to be deleted."
  type        = bool
  default     = true
}

variable "log_level" {
  description = "LOG_LEVEL of the services."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.log_level)
    error_message = "DEBUG, INFO, WARNING or ERROR."
  }
}

variable "trace_sample_ratio" {
  description = "Part of all batches whose trace is recorded, 0 to 1."
  type        = number
  default     = 0.01

  validation {
    condition     = var.trace_sample_ratio >= 0 && var.trace_sample_ratio <= 1
    error_message = "0 to 1."
  }
}

variable "webhook_url" {
  description = "Told of every batch, besides the batch's own URL; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = var.webhook_url == "" || can(regex("^https?://[^\\s\"]+$", var.webhook_url))
    error_message = "Empty or the URL of a receiver."
  }
}

variable "public_without_keys" {
  description = "Whether the public routes may be open to everybody; otherwise ingest and reporter refuse to start without API keys."
  type        = bool
  default     = false
}

variable "max_requests_per_minute" {
  description = "Requests a caller (an API key, else an address) may make of an instance of a public door in a minute."
  type        = number
  default     = 600

  validation {
    condition     = var.max_requests_per_minute >= 1 && floor(var.max_requests_per_minute) == var.max_requests_per_minute
    error_message = "A whole number, 1 or more."
  }
}

variable "ingest_min_instances" {
  description = "Instances of ingest that are kept warm; 1 spares the first upload a cold start and costs money all day."
  type        = number
  default     = 0

  validation {
    condition     = var.ingest_min_instances >= 0 && floor(var.ingest_min_instances) == var.ingest_min_instances
    error_message = "A whole number, 0 or more."
  }
}

variable "secret_versions" {
  description = "Version of a secret that revisions get, by its id, where it is not \"1\". Pinned, so a rollback brings its secrets with it."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for version in values(var.secret_versions) : can(regex("^[1-9][0-9]*$", version))])
    error_message = "Numbers of versions, as \"2\"; never latest."
  }
}

variable "build_repository" {
  description = "projects/P/locations/L/connections/C/repositories/R of Cloud Build whose main branch is built; empty: no trigger."
  type        = string
  default     = ""

  validation {
    condition     = var.build_repository == "" || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.build_repository))
    error_message = "Empty or projects/P/locations/L/connections/C/repositories/R."
  }
}

variable "promoted_to" {
  description = "Project that takes over what this one ran (staging names production here): its id and its number."
  type = object({
    project = string
    number  = string
  })
  default = null

  validation {
    condition     = var.promoted_to == null || can(regex("^[0-9]+$", var.promoted_to.number))
    error_message = "The number of the project has digits only; its id has not."
  }
}

variable "kms_key" {
  description = "Key of Cloud KMS, projects/P/locations/L/keyRings/R/cryptoKeys/K, that encrypts what lies at rest. To be chosen before the first apply: a database cannot be given another."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/${var.location}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "projects/P/locations/L/keyRings/R/cryptoKeys/K, with L the same as location."
  }
}

variable "domains" {
  description = "Host names of the public doors, behind a load balancer with Cloud Armor (about 20 USD a month); null for Cloud Run's own addresses."
  type = object({
    ingest   = string
    reporter = string
  })
  default = null

  validation {
    condition     = var.domains == null || can([for host in values(var.domains) : regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", host)])
    error_message = "Host names without a scheme, such as images.shop.example."
  }
}
