output "emails" {
  description = "Account name to email."
  value       = { for name, account in google_service_account.this : name => account.email }
}

output "ids" {
  description = "Account name to full resource id, as Workflows wants it."
  value       = { for name, account in google_service_account.this : name => account.id }
}

output "members" {
  description = "Account name to IAM member (serviceAccount:EMAIL)."
  value       = { for name, account in google_service_account.this : name => account.member }
}
