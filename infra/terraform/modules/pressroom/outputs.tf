output "upload_url" {
  description = "Where sheets are posted."
  value       = "${module.services.urls["ingest"]}/upload"
}

output "urls" {
  description = "Service name to root URL."
  value       = module.services.urls
}

output "gcloud" {
  description = "The operator's door: lay a sheet into the sheets bucket and run the workflow."
  value       = "gcloud workflows run ${module.workflow.name} --project=${var.project} --location=${var.location} --data='{\"csv_uri\": \"gs://${module.buckets.names["sheets"]}/SHEET.csv\"}'"
}

output "image_repository" {
  description = "Skaffold's default repository."
  value       = module.registry.url
}

output "manifest_values" {
  description = "What infra/cloudrun/render.py fills into the manifests."
  value       = module.services.manifest_values
}

output "buckets" {
  description = "Bucket names by what they hold."
  value       = merge(module.buckets.names, { deployment = module.deployment.bucket })
}

output "builder" {
  description = "Resource id of the account that Cloud Build tests and builds as."
  value       = module.accounts.ids["builder"]
}

output "deployer" {
  description = "Resource id of the account that Cloud Build deploys as."
  value       = module.accounts.ids["deployer"]
}

output "records" {
  description = "With `domains`: the address that the A records of these host names must lead to."
  value       = { for edge in module.edge : edge.address => edge.hosts }
}
