output "bucket" {
  description = "Bucket of the manifests' values and of uploaded sources."
  value       = google_storage_bucket.deployment.name
}
