output "url" {
  description = "What precedes /IMAGE: Skaffold's default repository."
  value       = "${var.location}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.this.repository_id}"
}
