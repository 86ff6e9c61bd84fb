output "name" {
  description = "Id of the workflow."
  value       = google_workflows_workflow.batch.name
}
