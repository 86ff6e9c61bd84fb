output "upload_url" {
  description = "Where sheets are posted."
  value       = module.pressroom.upload_url
}

output "urls" {
  description = "Service name to root URL."
  value       = module.pressroom.urls
}

output "gcloud" {
  description = "The operator's door: lay a sheet into the sheets bucket and run the workflow."
  value       = module.pressroom.gcloud
}

output "image_repository" {
  description = "Skaffold's default repository."
  value       = module.pressroom.image_repository
}

output "manifest_values" {
  description = "What infra/cloudrun/render.py fills into the manifests."
  value       = module.pressroom.manifest_values
}

output "buckets" {
  description = "Bucket names by what they hold."
  value       = module.pressroom.buckets
}

output "builder" {
  description = "Resource id of the account that Cloud Build tests and builds as."
  value       = module.pressroom.builder
}

output "deployer" {
  description = "Resource id of the account that Cloud Build deploys as."
  value       = module.pressroom.deployer
}

output "records" {
  description = "With `domains`: the address that the A records of these host names must lead to."
  value       = module.pressroom.records
}
