variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "project_number" {
  description = "Number of the Google Cloud project whose costs count."
  type        = string
}

variable "billing_account" {
  description = "Id of the billing account, 000000-000000-000000."
  type        = string
}

variable "monthly_amount" {
  description = "What a month may cost, in whole units of the billing account's currency."
  type        = number
}

variable "notification_channels" {
  description = "Monitoring channels that are told, besides the administrators of the billing account; at most five."
  type        = list(string)
}
